//! What a trace says of the whole process: which parts of the recorder served, when it stood
//! still, and what the kernel counted.

use serde::Serialize;
use trace_analysis::kernel_times::Elapsed;
use trace_analysis::life::CpuLife;
use trace_analysis::standstill::Standstill;
use trace_format::read::Facility;

/// A part of the recorder.
#[derive(Debug, Serialize)]
pub struct FacilityOut {
    name: String,
    on: bool,
    note: String,
}

impl From<&Facility> for FacilityOut {
    fn from(facility: &Facility) -> Self {
        let Facility { name, on, note } = facility.clone();
        Self { name, on, note }
    }
}

/// A time in which the whole process stood still.
#[derive(Debug, Serialize)]
pub struct StandstillOut {
    from_ns: u64,
    to_ns: u64,
    suspended_ns: u64,
}

impl From<&Standstill> for StandstillOut {
    fn from(told: &Standstill) -> Self {
        let Standstill { from, to, suspended } = *told;
        Self { from_ns: from.0, to_ns: to.0, suspended_ns: suspended.0 }
    }
}

/// What ran on a CPU.
#[derive(Debug, Serialize)]
pub struct CpuOut {
    cpu: u32,
    busy_ns: u64,
    switches: u64,
    preemptions: u64,
    samples: u64,
    lost_records: u64,
}

impl From<&CpuLife> for CpuOut {
    fn from(life: &CpuLife) -> Self {
        let CpuLife { cpu, busy, switches, preemptions, samples, lost_records } = *life;
        Self { cpu, busy_ns: busy.0, switches, preemptions, samples, lost_records }
    }
}

/// What the kernel counted for a thread between two moments.
#[derive(Debug, Serialize)]
pub struct ElapsedOut {
    from_ns: u64,
    to_ns: u64,
    time_ns: u64,
}

impl From<Elapsed> for ElapsedOut {
    fn from(elapsed: Elapsed) -> Self {
        let Elapsed { from, to, time } = elapsed;
        Self { from_ns: from.0, to_ns: to.0, time_ns: time.0 }
    }
}
