//! Call sites and modules are switched on and off while a trace runs, and before it starts.

mod common;

use common::annotated;

use common::record;
use exectrace::{Callsite, callsites, instant, set_module_on, trace_region, traced};

#[traced]
fn stays() {}

#[traced]
fn switched() {
    instant!("in switched");
}

#[traced]
mod outer {
    pub(crate) fn near() {}
    pub(crate) mod inner {
        pub(crate) fn far() {}
    }
}

#[traced]
mod outer_not {
    pub(crate) fn other() {}
}

fn site(name: &str) -> &'static Callsite {
    callsites().find(|site| site.name() == name).expect("it is listed")
}

fn all() {
    stays();
    outer::near();
    outer::inner::far();
    outer_not::other();
}

#[test]
fn a_site_is_switched_while_the_trace_runs() {
    let recorded = record(|| {
        switched();
        site("switched").set_on(false);
        assert!(!site("switched").is_on() && !site("switched").is_live());
        switched();
        // Switching twice has the effect of once.
        site("switched").set_on(false);
        site("switched").set_on(true);
        assert!(site("switched").is_live());
        switched();
    });
    let expected = "+ switched|! in switched|-|! in switched|+ switched|! in switched|-";
    assert_eq!(recorded.lines().join("|"), expected);
    let tables = &recorded.trace.tables;
    let switches = tables.switches.iter();
    let switches: Vec<_> =
        switches.map(|s| (recorded.trace.site_name(s.site), s.on, s.ticks)).collect();
    assert_eq!(switches.len(), 2, "{switches:?}");
    assert_eq!((switches[0].0, switches[0].1), ("switched", false));
    assert_eq!((switches[1].0, switches[1].1), ("switched", true));
    assert!(switches[0].2 < switches[1].2, "switches have their times");
    let thread = *tables.threads.keys().next().unwrap();
    let times: Vec<_> = recorded.trace.events(thread).map(|event| event.ticks).collect();
    assert!(times[2] < switches[0].2 && switches[0].2 < times[3]);
    assert!(times[3] < switches[1].2 && switches[1].2 < times[4]);
}

#[test]
fn what_is_open_ends_though_its_site_is_switched_off() {
    let recorded = record(|| {
        {
            trace_region!("held");
            stays();
            site("held").set_on(false);
            stays();
        }
        {
            trace_region!("held pending");
            site("held pending").set_on(false);
        }
        stays();
    });
    site("held").set_on(true);
    site("held pending").set_on(true);
    assert_eq!(recorded.lines().join("|"), "+ held|stays|stays|-|held pending|stays");
}

#[test]
fn a_module_is_switched_with_all_below_it() {
    let recorded = record(|| {
        assert_eq!(set_module_on("switches::outer", false), 2);
        all();
        assert_eq!(set_module_on("switches::outer::inner", true), 1);
        all();
        assert_eq!(set_module_on("switches::out", false), 0, "no part of a name");
        assert_eq!(set_module_on("switches::outer", true), 2);
        all();
    });
    let expected = "stays|other|stays|far|other|stays|near|far|other";
    assert_eq!(recorded.lines().join("|"), expected);
}

#[test]
fn a_site_that_is_off_before_the_start_stays_off() {
    let lines = {
        let _alone = common::alone();
        site("near").set_on(false);
        let recorded = common::record_here(annotated(), all);
        site("near").set_on(true);
        assert!(recorded.trace.tables.switches.is_empty(), "nothing was switched in this trace");
        recorded.lines()
    };
    assert_eq!(lines.join("|"), "stays|far|other");
    assert_eq!(record(all).lines().join("|"), "stays|near|far|other");
}

#[test]
fn a_hundred_thousand_switches_are_all_told() {
    let recorded = record(|| {
        for _ in 0..50_000 {
            site("far").set_on(false);
            site("far").set_on(true);
        }
    });
    assert_eq!(recorded.trace.tables.switches.len(), 100_000);
}
