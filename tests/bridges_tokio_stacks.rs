//! Where tasks of tokio wait, by the names of the functions that they wait in.

mod common;

use common::decoded::Decoded;
use common::story::{lives, one};
use common::writers::Memory;
use common::{alone, annotated};
use exectrace::tokio as traced;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::sleep;
use trace_format::read::TraceFile;
use trace_tool::symbols::{binaries, resolve};

async fn sleeps() {
    sleep(Duration::from_millis(2)).await;
}

async fn locks(lock: Arc<Mutex<()>>) {
    drop(lock.lock().await);
}

#[test]
fn a_task_waits_where_its_stack_says() {
    let _alone = alone();
    let runtime = Builder::new_current_thread().enable_time().build().expect("it can be built");
    let memory = Memory::default();
    let trace = exectrace::start_with(annotated(), memory.clone()).expect("no trace is running");
    runtime.block_on(async {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().await;
        let locks = traced::spawn(locks(Arc::clone(&lock)));
        let sleeps = traced::spawn(sleeps());
        yield_now().await;
        drop(held);
        sleeps.await.expect("no panic");
        locks.await.expect("no panic");
    });
    trace.stop().expect("memory takes every byte");
    let bytes = memory.take();
    let lives = lives(&Decoded::new(&bytes));
    let file = TraceFile::open(bytes).expect("what was recorded can be read");
    let stacks = &file.tables().stacks;
    let addresses = stacks.values().flat_map(|stack| stack.addresses.clone());
    let symbols = resolve(&file, addresses, &binaries::Options::default());
    let symbols = symbols.expect("no file is asked for by name");
    let names = |task: &str| -> Vec<String> {
        let stack = stacks.get(&one(&lives, task).waits[0]).expect("a stack");
        let frames = symbols.frames(&stack.addresses);
        frames.into_iter().map(|frame| frame.name.into_owned()).collect()
    };
    for (task, inside) in [("sleeps", "Sleep"), ("locks", "batch_semaphore::Acquire")] {
        let names = names(task);
        let leaf = names.iter().position(|name| name.contains(inside));
        let own = names.iter().position(|name| name.contains(&format!("stacks::{task}")));
        assert!(leaf.is_some() && leaf < own, "{names:#?}");
    }
}
