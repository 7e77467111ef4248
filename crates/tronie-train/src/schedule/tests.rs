use tronie_testing::Golden;

use super::*;

#[test]
fn every_curve_is_that_of_diffusers() {
    let golden = Golden::open("training/schedules");
    for row in LR_SCHEDULES {
        for n_warmup_steps in [0, 7] {
            let schedule =
                LrSchedule { id: row.id.into(), n_warmup_steps, n_cycles: 3, ..LrSchedule::default() };
            // diffusers has a row of its own for a constant with warm-up.
            let is_warm_constant = row.id == "constant" && n_warmup_steps > 0;
            let id = if is_warm_constant { "constant_with_warmup" } else { row.id };
            let schedule = LrSchedule { power: 2.0, ..schedule };
            for (step, expected) in (0..).zip(golden.f64(&format!("{id}/{n_warmup_steps}"))) {
                let found = schedule.factor(step, 50).unwrap();
                assert!((found - expected).abs() < 1e-12, "{id}, {step}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn a_run_that_is_all_warm_up_has_a_rate_at_every_step() {
    for row in LR_SCHEDULES {
        let schedule = LrSchedule { id: row.id.into(), n_warmup_steps: 9, ..LrSchedule::default() };
        for step in 0..12 {
            let factor = schedule.factor(step, 5).unwrap();
            assert!((0.0..=1.0).contains(&factor), "{}, step {step}: {factor}", row.id);
        }
        assert_eq!(schedule.factor(3, 5).unwrap(), 3.0 / 9.0);
    }
}

#[test]
fn what_makes_no_curve_is_refused() {
    let good = LrSchedule::default();
    let cases = [
        (LrSchedule { id: "sine".into(), ..good.clone() }, "unknown learning-rate schedule \"sine\""),
        (
            LrSchedule { n_cycles: 0, ..good.clone() },
            "n_cycles of constant is 0, expected a number of at least 1",
        ),
        (
            LrSchedule { power: f64::NAN, ..good.clone() },
            "power of constant is NaN, expected a number above 0",
        ),
        (LrSchedule { end_factor: 1.5, ..good }, "end_factor of constant is 1.5, expected from 0 to 1"),
    ];
    for (schedule, expected) in cases {
        assert_eq!(schedule.factor(0, 10).unwrap_err().to_string(), expected);
    }
}
