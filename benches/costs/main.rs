//! What tracing costs: `cargo bench --bench costs` prints one table.
//!
//! The unit is the *floor*: two bare clock reads, the least that a begin and an end take. Every
//! sample runs the floor and its subject in turn, block by block, so that a machine which slows
//! down slows both; criterion measures the ratio of the two. The table at the end has the medians
//! of all samples, and nanoseconds for rows without a floor.
//!
//! - `floor`: the unit, and the measurement that divides by it.
//! - `record`: regions and the other annotations, on one thread and on two.
//! - `futures`: polls, wakes and spawns of async tasks.
//! - `calls`: hooks of libc's functions.
//! - `stacks`: what a stack adds to a region.
//! - `heap`: the allocator that counts and samples.
//! - `flight`: the flight recorder, and files that survive.
//! - `session`: starting, stopping, a producer at full speed.
//! - `switches`: the kernel's records of thread switches.
//! - `read`: decoding, time order, the summary.

#[cfg(target_os = "linux")]
mod calls;
mod flight;
mod floor;
mod futures;
mod heap;
mod read;
mod record;
mod session;
mod stacks;
mod switches;

use floor::{Floors, Table};

/// Options for traces of annotations alone.
fn annotated() -> exectrace::Options {
    exectrace::Options::new().os(false).sched(false).heap(false)
}

fn main() {
    let mut criterion = criterion::Criterion::default()
        .with_measurement(Floors)
        .without_plots()
        .sample_size(40)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(1500))
        .configure_from_args();
    let mut table = Table::default();
    record::measure(&mut criterion, &mut table);
    #[cfg(target_os = "linux")]
    calls::measure(&mut table);
    futures::measure(&mut criterion, &mut table);
    stacks::measure(&mut table);
    heap::measure(&mut table);
    flight::measure(&mut table);
    session::measure(&mut table);
    switches::measure(&mut table);
    read::measure(&mut table);
    if std::env::args().any(|word| word == "--test") {
        println!("each ran once; nothing was measured");
    } else {
        table.print();
    }
}
