//! The table: which test of which scheduler asserts what.

use crate::Parametrization;

/// What a scheduler test does apart from sampling.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Habit {
    None,
    /// The sample of each step is the scaled input, for methods that add slopes to it.
    ScaledSample,
    /// The same for DPM++ SDE, which mixes the sample with x0.
    ScaledMix,
    /// x0 is clipped to -1..=1, and the noise follows.
    Clip,
    /// x0 is clipped to -1..=1, the noise stays what the network predicted.
    ClipPictureOnly,
    /// x0 is clipped to -0.5..=0.5 and stretched to -1..=1: dynamic thresholding with `sample_max_value` 0.5.
    Threshold,
}

#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) sampler: &'static str,
    pub(super) schedule: &'static str,
    pub(super) prediction: Parametrization,
    pub(super) habit: Habit,
    pub(super) n_steps: usize,
    pub(super) beta_start: f64,
    pub(super) n_train: usize,
    /// Step the run begins at, with noise added for it.
    pub(super) noised_at: Option<usize>,
    /// Step the run begins at, without.
    pub(super) skipped: usize,
    pub(super) ends_at_zero: bool,
    /// A run that begins amid a pair of DPM++ 2S walks its first step alone.
    pub(super) first_alone: bool,
    /// Sum and mean of absolute values; 0 where the test asserts only the other.
    pub(super) expected: (f64, f64),
}

const SIGMAS: Case = Case {
    sampler: "euler",
    schedule: "linspace",
    prediction: Parametrization::Epsilon,
    habit: Habit::ScaledSample,
    n_steps: 10,
    beta_start: 0.0001,
    n_train: 1100,
    noised_at: None,
    skipped: 0,
    ends_at_zero: true,
    first_alone: false,
    expected: (10.0807, 0.0131),
};
const V: Parametrization = Parametrization::V;
const EULER_A: Case = Case { sampler: "euler_ancestral", expected: (152.3192, 0.1983), ..SIGMAS };
const LMS: Case = Case { sampler: "lms", expected: (1006.388, 1.31), ..SIGMAS };
const HEUN: Case = Case { sampler: "heun", expected: (0.1233, 0.0002), ..SIGMAS };
const KDPM2: Case = Case { sampler: "dpm_2", expected: (20.4125, 0.0266), ..SIGMAS };
const KDPM2_A: Case = Case { sampler: "dpm_2_ancestral", expected: (13979.9433, 18.2030), ..SIGMAS };
/// Of the three values per case, the CPU's.
const SDE: Case =
    Case { sampler: "dpmpp_sde", habit: Habit::ScaledMix, expected: (162.52383, 0.2116), ..SIGMAS };
const DDIM: Case = Case {
    sampler: "ddim",
    schedule: "leading",
    habit: Habit::ClipPictureOnly,
    n_train: 1000,
    expected: (172.0067, 0.223_967),
    ..SIGMAS
};
const DDPM: Case =
    Case { sampler: "ddpm", habit: Habit::Clip, n_steps: 1000, expected: (258.9606, 0.3372), ..DDIM };
const PNDM: Case =
    Case { sampler: "pndm", habit: Habit::None, ends_at_zero: false, expected: (198.1318, 0.2580), ..DDIM };
const MULTI: Case = Case { sampler: "dpmpp_2m", schedule: "linspace", expected: (0.0, 0.3301), ..PNDM };
const SINGLE: Case = Case { sampler: "dpmpp_2s", expected: (0.0, 0.2791), ..MULTI };
const UNIPC: Case = Case { sampler: "uni_pc_bh2", expected: (0.0, 0.2464), ..MULTI };
const DEIS: Case = Case { sampler: "deis", expected: (0.0, 0.23916), ..MULTI };
const LCM: Case = Case {
    sampler: "lcm",
    schedule: "lcm",
    habit: Habit::None,
    beta_start: 0.00085, // scaled linear to 0.012: LCM's own defaults
    expected: (197.7616, 0.2575),
    ..DDIM
};

pub(super) const CASES: &[Case] = &[
    SIGMAS,
    Case { prediction: V, expected: (0.0002, 2.2676e-6), ..SIGMAS },
    Case { schedule: "karras", expected: (124.522_99, 0.162_139), ..SIGMAS },
    Case { noised_at: Some(8), expected: (57062.9297, 74.3007), ..SIGMAS },
    EULER_A,
    Case { prediction: V, expected: (108.4439, 0.1412), ..EULER_A },
    Case { noised_at: Some(8), expected: (56163.0508, 73.1290), ..EULER_A },
    LMS,
    Case { prediction: V, expected: (0.0017, 2.2676e-6), ..LMS },
    Case { schedule: "karras", expected: (3812.9927, 4.9648), ..LMS },
    // Not 27663.6895 with noise: diffusers' LMS then takes coefficients of order 4 and has one slope.
    HEUN,
    Case { prediction: V, expected: (4.6934e-7, 0.0), ..HEUN },
    Case { schedule: "karras", expected: (0.00015, 1.9869e-7), ..HEUN },
    Case { noised_at: Some(8), expected: (75074.8906, 97.7538), ..HEUN },
    KDPM2,
    Case { prediction: V, expected: (4.6934e-7, 0.0), ..KDPM2 },
    Case { noised_at: Some(8), expected: (70408.4062, 91.6776), ..KDPM2 },
    KDPM2_A,
    Case { prediction: V, expected: (331.8133, 0.4320), ..KDPM2_A },
    Case { noised_at: Some(8), expected: (93087.3437, 121.2074), ..KDPM2_A },
    SDE,
    Case { prediction: V, expected: (119.84870, 0.1560), ..SDE },
    Case { schedule: "karras", expected: (170.31352, 0.2218), ..SDE },
    DDIM,
    Case { prediction: V, expected: (52.5302, 0.0684), ..DDIM },
    Case { beta_start: 0.01, expected: (149.8295, 0.1951), ..DDIM },
    Case { beta_start: 0.01, ends_at_zero: false, expected: (149.0784, 0.1941), ..DDIM },
    Case { noised_at: Some(8), expected: (354.5418, 0.4616), ..DDIM },
    DDPM,
    Case { prediction: V, expected: (202.0296, 0.2631), ..DDPM },
    // Theirs is 387.9466: 1 - a / a' in f32 has three digits left at timestep 1. In f64 diffusers gives this.
    Case { noised_at: Some(998), expected: (387.9676, 0.5052), ..DDPM },
    PNDM,
    Case { prediction: V, expected: (67.3986, 0.0878), ..PNDM },
    Case { beta_start: 0.01, ends_at_zero: true, expected: (230.0399, 0.2995), ..PNDM },
    Case { beta_start: 0.01, expected: (186.9482, 0.2434), ..PNDM },
    MULTI,
    Case { noised_at: Some(5), expected: (318.4111, 0.4146), ..MULTI },
    Case { habit: Habit::Threshold, expected: (0.0, 1.1364), ..MULTI },
    Case { prediction: V, expected: (0.0, 0.2251), ..MULTI },
    Case { prediction: V, schedule: "karras", expected: (0.0, 0.2096), ..MULTI },
    Case { prediction: V, schedule: "lu", expected: (0.0, 0.1554), ..MULTI },
    SINGLE,
    Case { schedule: "karras", expected: (0.0, 0.2248), ..SINGLE },
    Case { prediction: V, expected: (0.0, 0.1453), ..SINGLE },
    Case { prediction: V, schedule: "karras", expected: (0.0, 0.0649), ..SINGLE },
    Case { noised_at: Some(5), first_alone: true, expected: (269.2187, 0.3505), ..SINGLE },
    Case { n_steps: 50, skipped: 3, first_alone: true, expected: (0.0, 0.2574), ..SINGLE },
    UNIPC,
    Case { schedule: "karras", expected: (0.0, 0.2925), ..UNIPC },
    Case { prediction: V, expected: (0.0, 0.1014), ..UNIPC },
    Case { prediction: V, schedule: "karras", expected: (0.0, 0.1966), ..UNIPC },
    Case { noised_at: Some(8), expected: (315.5757, 0.4109), ..UNIPC },
    DEIS,
    Case { prediction: V, expected: (0.0, 0.091), ..DEIS },
    Case { noised_at: Some(8), expected: (315.3016, 0.41054), ..DEIS },
    Case { n_steps: 1, expected: (18.7097, 0.0244), ..LCM },
    LCM,
];
