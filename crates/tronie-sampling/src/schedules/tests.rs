#![expect(clippy::cast_possible_truncation, reason = "goldens are f32")]

use tronie_testing::{Golden, assert_close, relative_error};

use super::beta_quantile::beta_quantile;
use super::*;
use crate::{BetaSchedule, DiscreteOptions};

fn discrete(downcast_alphas: bool) -> Discrete {
    let options = DiscreteOptions { downcast_alphas, ..Default::default() };
    Discrete::new(&BetaSchedule::STABLE_DIFFUSION, options).unwrap()
}

fn levels(id: &str, n_steps: usize, discrete: &Discrete) -> Vec<f32> {
    let input = ScheduleInput {
        discrete,
        n_steps,
        range: (discrete.sigma_min(), discrete.sigma_max()),
        grid: Grid::Rounded,
        steps_offset: 1,
    };
    let levels = (find_schedule(id).unwrap().levels)(&input).unwrap();
    let end = if levels.complete { None } else { Some(0.0) };
    levels.sigmas.into_iter().chain(end).map(|sigma| sigma as f32).collect()
}

#[test]
fn schedules_have_the_published_values() {
    #[rustfmt::skip]
    let cases: [(&str, bool, &[f32]); 4] = [
        ("karras", false, &[
            14.6146, 11.7254, 9.3402, 7.3836, 5.7894, 4.4998, 3.4647, 2.6408, 1.9909, 1.4832, 1.0908, 0.7909, 0.5647,
            0.3964, 0.2730, 0.1842, 0.1213, 0.0779, 0.0485, 0.0292, 0.0,
        ]),
        ("karras", true, &[
            14.6123, 11.7419, 9.3689, 7.4195, 5.8287, 4.5396, 3.5031, 2.6764, 2.0229, 1.5112, 1.1148, 0.8110, 0.5812,
            0.4096, 0.2834, 0.1921, 0.1273, 0.0822, 0.0515, 0.0313, 0.0,
        ]),
        ("automatic", false, &[
            14.6146, 10.7468, 8.0815, 6.2049, 4.8557, 3.8654, 3.1238, 2.5572, 2.1157, 1.7648, 1.4806, 1.2458, 1.0481,
            0.8784, 0.7297, 0.5964, 0.4736, 0.3555, 0.2322, 0.0292, 0.0,
        ]),
        ("exponential", false, &[14.6146, 3.0890, 0.6529, 0.1380, 0.0292, 0.0]),
    ];
    for (id, downcast, expected) in cases {
        let found = levels(id, expected.len() - 1, &discrete(downcast));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 6e-5;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{id}: {found:?}");
    }
}

#[test]
fn schedules_are_those_of_k_diffusion_and_scipy() {
    let (golden, discrete) = (Golden::open("sampling/schedules"), discrete(false));
    for name in golden.names() {
        let Some((id, n)) = name.split_once('/') else {
            continue;
        };
        let (Ok(_), Ok(n)) = (find_schedule(id), n.parse()) else {
            continue;
        };
        let (found, expected) = (levels(id, n, &discrete), golden.f32(name));
        assert_eq!(found.len(), expected.len(), "{name}");
        let error = relative_error(&found, &expected);
        assert!(error < 1e-5, "{name}: {error}");
    }
}

#[test]
fn beta_quantiles_are_scipys() {
    let golden = Golden::open("sampling/schedules");
    for (a, b) in [(0.6, 0.6), (0.5, 2.0), (2.0, 5.0), (9.0, 0.7)] {
        let name = format!("beta_quantile/{a:?}/{b:?}");
        for (&place, &expected) in golden.f64("beta_quantile_places").iter().zip(golden.f64(&name)) {
            let found = beta_quantile(place, a, b);
            assert!((found - expected).abs() < 1e-11 * expected.max(1e-3), "{name} at {place}: {found}");
        }
    }
    assert_eq!((beta_quantile(0.0, 0.6, 0.6), beta_quantile(1.0, 0.6, 0.6)), (0.0, 1.0));
}

#[test]
fn timestep_schedules_pick_the_timesteps_they_say() {
    let discrete = discrete(false);
    let sigma = |timestep: f64| discrete.sigma_of(timestep) as f32;
    let cases: [(&str, usize, &[f64]); 8] = [
        ("simple", 4, &[999.0, 749.0, 499.0, 249.0]),
        ("simple", 3, &[999.0, 666.0, 333.0]),
        ("sgm_uniform", 3, &[999.0, 666.0, 333.0]),
        ("ddim_uniform", 4, &[751.0, 501.0, 251.0, 1.0]),
        ("ddim_uniform", 3, &[667.0, 334.0, 1.0]),
        ("lcm", 4, &[999.0, 759.0, 499.0, 259.0]),
        ("trailing", 4, &[999.0, 749.0, 499.0, 249.0]),
        ("leading", 4, &[751.0, 501.0, 251.0, 1.0]),
    ];
    for (id, n, timesteps) in cases {
        let expected: Vec<f32> = timesteps.iter().map(|&t| sigma(t)).chain([0.0]).collect();
        assert_close(&levels(id, n, &discrete), &expected, 1e-6);
    }
    // 1000 / 30 is 33, and 31 multiples of it fit: one level more than asked for, as in ComfyUI and A1111.
    assert_eq!(levels("ddim_uniform", 30, &discrete).len(), 31 + 1);
}

#[test]
fn tables_of_align_your_steps_come_back_at_their_own_length() {
    let discrete = discrete(false);
    let found = levels("align_your_steps", 11, &discrete);
    assert_close(
        &found,
        &[14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029, 0.0],
        1e-6,
    );
    // Half-way in the table is half-way in the logarithm.
    let finer = levels("align_your_steps_sdxl", 21, &discrete);
    assert!((finer[1] - (14.615_f32 * 6.315).sqrt()).abs() < 1e-4);
    assert_eq!(finer.len(), 22);
}

#[test]
fn kl_optimal_spaces_arc_tangents_evenly() {
    let discrete = discrete(false);
    let (zero, open) = (levels("kl_optimal", 6, &discrete), levels("kl_optimal_open", 5, &discrete));
    assert_eq!((zero.len(), open.len()), (7, 6));
    assert_eq!(zero[..6], open[..]);
    let arcs: Vec<f32> = open.iter().map(|sigma| sigma.atan()).collect();
    for pair in arcs.windows(3) {
        assert!((pair[0] - 2.0 * pair[1] + pair[2]).abs() < 1e-5, "{arcs:?}");
    }
}
