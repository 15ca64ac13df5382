//! The registers that a walk begins with.
//!
//! May contain `unsafe`: it reads registers.

/// The registers that a walk begins with.
#[derive(Debug)]
pub(super) struct Registers {
    pub(super) pc: u64,
    pub(super) sp: u64,
    pub(super) fp: u64,
    #[cfg(target_arch = "aarch64")]
    pub(super) lr: u64,
}

impl Registers {
    /// Those of the function that this is inlined into.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn here() -> Self {
        let (pc, sp, fp): (u64, u64, u64);
        // SAFETY: it reads registers, and touches no memory and no flags.
        unsafe {
            std::arch::asm!(
                "lea {pc}, [rip]",
                "mov {sp}, rsp",
                "mov {fp}, rbp",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, fp }
    }

    /// Those of the function that this is inlined into.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    pub(super) fn here() -> Self {
        let (pc, sp, fp, lr): (u64, u64, u64, u64);
        // SAFETY: it reads registers, and touches no memory and no flags.
        unsafe {
            std::arch::asm!(
                "adr {pc}, .",
                "mov {sp}, sp",
                "mov {fp}, x29",
                "mov {lr}, x30",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                lr = out(reg) lr,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, fp, lr }
    }
}
