use tronie_base::Faulty;

use crate::{PROFILES, SAMPLERS, SCHEDULES, find_profile, find_sampler, find_schedule};

#[test]
fn names_of_other_programs_are_found() {
    let cases = [
        ("euler", "euler", None),
        ("Euler a", "euler_ancestral", None),
        ("DPM++ 2M Karras", "dpmpp_2m", Some("karras")),
        ("DPM++ SDE Karras", "dpmpp_sde", Some("karras")),
        ("DPM++ 2M SDE Karras", "dpmpp_2m_sde", Some("karras")),
        ("DPM++ 2M SDE Exponential", "dpmpp_2m_sde", Some("exponential")),
        ("DPM++ 2M SDE Heun Karras", "dpmpp_2m_sde_heun", Some("karras")),
        ("DPM++ 3M SDE Exponential", "dpmpp_3m_sde", Some("exponential")),
        ("DPM++ 2S a Karras", "dpmpp_2s_ancestral", Some("karras")),
        ("DPM2 a Karras", "dpm_2_ancestral", Some("karras")),
        ("LMS Karras", "lms", Some("karras")),
        ("DPM fast", "dpm_fast", None),
        ("DPM adaptive", "dpm_adaptive", None),
        ("k_dpmpp_2m_ka", "dpmpp_2m", Some("karras")),
        ("k_euler_a", "euler_ancestral", None),
        ("no such sampler", "", None),
        ("DDIM", "ddim", None),
        ("PLMS", "plms", None),
        ("UniPC", "uni_pc", None),
        ("DPMSolverMultistepScheduler", "dpmpp_2m", None),
        ("dpmpp_2m_sgm_uniform", "dpmpp_2m", Some("sgm_uniform")),
    ];
    for (name, sampler, schedule) in cases {
        match find_sampler(name) {
            Ok((row, found)) => {
                assert_eq!((row.id, found.map(|row| row.id)), (sampler, schedule), "{name}");
            }
            Err(_) => assert_eq!(sampler, "", "{name}"),
        }
    }
    assert_eq!(find_schedule("SGM Uniform").unwrap().id, "sgm_uniform");
    assert_eq!(find_schedule("Automatic").unwrap().id, "automatic");
    assert_eq!(find_profile("ComfyUI").unwrap().id, "comfy");
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest() {
    let error = find_sampler("eulr").unwrap_err();
    assert_eq!(error.nearest, "euler");
    assert_eq!(error.to_string(), "unknown sampler \"eulr\"");
    assert!(error.hint().unwrap().starts_with("did you mean \"euler\"? there are: "));
    assert_eq!(find_schedule("karas").unwrap_err().nearest, "karras");
    assert_eq!(find_sampler("").unwrap_err().name, "");
}

#[test]
fn every_name_belongs_to_one_row_and_every_reference_to_a_row() {
    let titles =
        SAMPLERS.iter().flat_map(|row| [row.id, row.title].into_iter().chain(row.aliases.iter().copied()));
    for title in titles {
        assert_eq!(find_sampler(title).unwrap().1, None, "{title}");
    }
    for row in SAMPLERS {
        assert_eq!(find_sampler(row.id).unwrap().0.id, row.id);
        assert_eq!(find_sampler(row.title).unwrap().0.id, row.id);
        assert!(row.aliases.iter().all(|alias| find_sampler(alias).unwrap().0.id == row.id), "{}", row.id);
        assert!(find_schedule(row.default_schedule).is_ok(), "{}", row.id);
    }
    for row in SCHEDULES {
        assert_eq!(find_schedule(row.id).unwrap().id, row.id);
        assert_eq!(find_schedule(row.title).unwrap().id, row.id);
    }
    for profile in PROFILES {
        let schedules = profile.substitutes.iter().flat_map(|row| [row.0, row.1]);
        let schedules = schedules.chain(profile.default_schedule);
        let numerics = profile.samplers.iter().map(|row| row.1).chain([profile.otherwise]);
        let schedules = schedules
            .chain(numerics.flat_map(|row| {
                row.default_schedule.into_iter().chain(row.rounding.iter().map(|row| row.0))
            }));
        for schedule in schedules {
            assert_eq!(find_schedule(schedule).unwrap().id, schedule);
        }
        for (sampler, _) in profile.samplers {
            assert_eq!(find_sampler(sampler).unwrap().0.id, *sampler);
        }
    }
}
