use super::*;
use crate::{
    BetaSchedule, DiscreteOptions, PROFILES, Rounding, SAMPLERS, find_profile, find_sampler, find_schedule,
};

fn discrete() -> Discrete {
    Discrete::new(&BetaSchedule::STABLE_DIFFUSION, DiscreteOptions::default()).unwrap()
}

fn planned(profile: &str, sampler: &str, schedule: Option<&str>, n_steps: usize) -> Plan {
    let schedule = schedule.map(|name| find_schedule(name).unwrap());
    let (profile, sampler) = (find_profile(profile).unwrap(), find_sampler(sampler).unwrap().0);
    plan(profile, sampler, schedule, n_steps, &discrete()).unwrap()
}

#[test]
fn every_combination_can_be_planned_or_says_why_not() {
    let discrete = discrete();
    for profile in PROFILES {
        for sampler in SAMPLERS {
            for schedule in SCHEDULES {
                for n_steps in [1_usize, 2, 3, 4, 20, 999, 1000] {
                    let case = format!("{} {} {} {n_steps}", profile.id, sampler.id, schedule.id);
                    match plan(profile, sampler, Some(schedule), n_steps, &discrete) {
                        Ok(plan) => {
                            assert!(plan.sigmas.n_steps() >= 1, "{case}");
                            assert!(plan.initial_scale.is_finite() && plan.final_scale <= 1.0, "{case}");
                        }
                        // The lowest level may be the only one, and many levels may not be different.
                        Err(error) => assert!(n_steps == 1 || n_steps > 50, "{case}: {error}"),
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_of_steps_without_a_schedule_are_refused() {
    let (profile, sampler) = (find_profile("a1111").unwrap(), find_sampler("euler").unwrap().0);
    let failing =
        |n_steps: usize| plan(profile, sampler, None, n_steps, &discrete()).unwrap_err().to_string();
    assert_eq!(failing(0), "0 steps, expected at least 1");
    assert_eq!(failing(1001), "1001 steps, but Euler has at most 1000");
    let lcm = find_sampler("lcm").unwrap().0;
    let error = plan(profile, lcm, None, 51_usize, &discrete()).unwrap_err().to_string();
    assert_eq!(error, "51 steps, but the LCM schedule has at most 50");
}

#[test]
fn samplers_get_the_schedule_their_program_gives_them() {
    let cases = [
        ("a1111", "DPM++ 2M", None, "karras"),
        ("a1111", "DPM++ 2M SDE", None, "exponential"),
        ("a1111", "Euler a", None, "automatic"),
        ("a1111", "DDIM", None, "ddim_uniform"),
        ("a1111", "Euler", Some("kl_optimal"), "kl_optimal_open"),
        ("comfy", "dpmpp_2m", None, "normal"),
        ("comfy", "euler", Some("beta"), "beta_timesteps"),
        ("diffusers", "dpmpp_2m", None, "leading"),
        ("diffusers", "dpmpp_2s", None, "linspace"),
        ("diffusers", "lcm", None, "lcm"),
    ];
    for (profile, sampler, schedule, expected) in cases {
        assert_eq!(planned(profile, sampler, schedule, 8).schedule.id, expected, "{profile} {sampler}");
    }
}

#[test]
fn the_first_noise_has_the_scale_of_its_program() {
    let top = discrete().sigma_max();
    let unit = |sigma: f64| (1.0 + sigma * sigma).sqrt();
    let at_951 = discrete().sigma_of(951.0);
    let cases = [
        ("a1111", "euler", "karras", top),
        ("a1111", "ddim", "ddim_uniform", unit(at_951)),
        ("comfy", "euler", "karras", unit(top)),
        ("comfy", "euler", "ddim_uniform", at_951),
        ("diffusers", "euler", "leading", unit(at_951)),
        ("diffusers", "euler", "trailing", top),
        ("diffusers", "dpmpp_2m", "karras", unit(top)),
    ];
    for (profile, sampler, schedule, expected) in cases {
        let found = planned(profile, sampler, Some(schedule), 20).initial_scale;
        assert!(
            (found - expected).abs() < 1e-5,
            "{profile} {sampler} {schedule}: {found}, expected {expected}"
        );
    }
}

#[test]
fn runs_end_where_their_program_ends_them() {
    let low = discrete().sigma_min();
    for (profile, sampler, last) in
        [("a1111", "euler", 0.0), ("a1111", "ddim", low), ("diffusers", "plms", low)]
    {
        let plan = planned(profile, sampler, None, 20);
        assert_eq!(plan.sigmas.last(), last, "{profile} {sampler}");
        assert!((plan.final_scale - 1.0 / (1.0 + last * last).sqrt()).abs() < 1e-12);
        assert_eq!(plan.sigmas.n_steps(), 20);
    }
}

#[test]
fn the_next_to_last_level_is_left_out_where_a1111_does() {
    let kept = planned("a1111", "euler", Some("karras"), 11);
    let discarded = planned("a1111", "dpm_2", Some("karras"), 10);
    let expected: Vec<f64> = [&kept.sigmas.as_slice()[..10], &[0.0]].concat();
    assert_eq!(discarded.sigmas.as_slice(), expected);
}

#[test]
fn networks_are_told_the_timesteps_of_their_program() {
    let discrete = discrete();
    let between = discrete.sigma_of(500.4);
    let level = planned("a1111", "euler", Some("karras"), 10).sigmas.as_slice()[3];
    let fraction = discrete.timestep_of(level, Rounding::Fractional);
    let cases = [
        ("a1111", level, fraction),
        ("a1111", between, 500.4),
        ("comfy", level, fraction.round()),
        ("comfy", between, 500.0),
    ];
    for (profile, sigma, expected) in cases {
        let plan = planned(profile, "euler", Some("karras"), 10);
        let found = plan.timesteps.at(sigma, &discrete);
        assert!((found - expected).abs() < 1e-3, "{profile}: {found}, expected {expected}");
    }
    let plan = planned("diffusers", "dpmpp_2m", Some("karras"), 10);
    let timesteps: Vec<f64> =
        plan.sigmas.steps().map(|step| plan.timesteps.at(step.from, &discrete)).collect();
    assert!(timesteps.iter().all(|timestep| timestep.fract() == 0.0), "{timesteps:?}");
}

#[test]
fn pndm_gets_the_middles_of_its_first_steps() {
    let plan = planned("diffusers", "pndm", None, 10);
    let discrete = discrete();
    let timesteps: Vec<f64> =
        plan.sigmas.steps().map(|step| plan.timesteps.at(step.from, &discrete)).collect();
    let expected = [901.0, 851.0, 801.0, 751.0, 701.0, 651.0, 601.0, 501.0, 401.0, 301.0, 201.0, 101.0, 1.0];
    assert_eq!(timesteps, expected);
    assert_eq!(planned("diffusers", "pndm", None, 3).sigmas.n_steps(), 3);
}

#[test]
fn a_picture_is_walked_from_the_end_of_the_same_schedule() {
    for profile in PROFILES {
        let is_plain =
            |row: &SamplerRow| row.n_split_steps == 0 && !profile.numerics(row.id).noises_one_level_above;
        for sampler in SAMPLERS.iter().filter(|sampler| is_plain(sampler)) {
            let case = format!("{} {}", profile.id, sampler.id);
            let whole = plan(profile, sampler, None, 20_usize, &discrete()).unwrap();
            let stretch = Stretch { n_planned: 20, n_from_picture: Some(7) };
            let part = plan(profile, sampler, None, stretch, &discrete()).unwrap();
            let (whole_levels, levels) = (whole.sigmas.as_slice(), part.sigmas.as_slice());
            assert_eq!(levels, &whole_levels[13..], "{case}");
            assert_eq!(part.initial_scale, levels[0], "{case}: a picture is noised to the level itself");
            assert_eq!(part.picture_scale, 1.0, "{case}");
            assert_eq!(part.final_scale, whole.final_scale, "{case}");
            for &sigma in &levels[..levels.len() - 1] {
                let timestep = |plan: &Plan| plan.timesteps.at(sigma, &discrete());
                assert_eq!(timestep(&part), timestep(&whole), "{case}");
            }
        }
    }
}

#[test]
fn a1111s_ddim_walks_from_below_the_level_a_picture_is_noised_to() {
    // 20 steps at strength 0.75: noised to timestep 751, walked from 701 on.
    let (profile, sampler) = (find_profile("a1111").unwrap(), find_sampler("ddim").unwrap().0);
    let stretch = Stretch::from_picture(profile.from_picture.strength, 0.75, 20).unwrap();
    let plan = plan(profile, sampler, None, stretch, &discrete()).unwrap();
    assert_eq!(plan.sigmas.n_steps(), 15);
    let alpha_bar = |timestep: f64| 1.0 / (1.0 + discrete().sigma_of_linear(timestep).powi(2));
    assert_eq!(plan.timesteps.at(plan.sigmas.first(), &discrete()), 701.0);
    // In its own, variance-preserving, samples the picture weighs sqrt(alpha_bar) of timestep 751.
    let unit = (1.0 + plan.sigmas.first().powi(2)).sqrt();
    assert!((plan.picture_scale / unit - alpha_bar(751.0).sqrt()).abs() < 1e-6);
    let weak = Stretch::from_picture(profile.from_picture.strength, 0.0, 20).unwrap();
    assert_eq!(super::plan(profile, sampler, None, weak, &discrete()).unwrap().picture_scale, 1.0);
    assert!((plan.initial_scale / unit - (1.0 - alpha_bar(751.0)).sqrt()).abs() < 1e-6);
}

#[test]
fn pndm_begins_a_picture_with_its_warm_up() {
    let (profile, sampler) = (find_profile("a1111").unwrap(), find_sampler("pndm").unwrap().0);
    let stretch = Stretch { n_planned: 20, n_from_picture: Some(10) };
    let part = plan(profile, sampler, None, stretch, &discrete()).unwrap();
    assert_eq!(part.sigmas.n_steps(), 9 + sampler.n_split_steps, "one less than asked for, as DDIM");
}

#[test]
fn comfyui_starts_a_picture_at_the_top_as_it_starts_noise() {
    let (profile, sampler) = (find_profile("comfy").unwrap(), find_sampler("euler").unwrap().0);
    let stretch = Stretch { n_planned: 20, n_from_picture: Some(20) };
    let from_picture = plan(profile, sampler, None, stretch, &discrete()).unwrap();
    let from_noise = plan(profile, sampler, None, 20_usize, &discrete()).unwrap();
    assert_eq!(from_picture.initial_scale, from_noise.initial_scale);
}
