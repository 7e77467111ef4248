use super::*;

#[test]
fn levels_must_fall_and_stay_above_zero_until_the_end() {
    assert!(Sigmas::new(vec![2.0, 1.0, 0.0]).is_ok());
    assert!(Sigmas::new(vec![2.0, 0.5]).is_ok());
    assert_eq!(Sigmas::new(vec![1.0]), Err(ScheduleError::NoSteps));
    assert_eq!(Sigmas::new(Vec::new()), Err(ScheduleError::NoSteps));
    let bad: [(&[f64], usize); 5] = [
        (&[1.0, 1.0], 1),
        (&[1.0, 2.0], 1),
        (&[1.0, 0.0, 0.0], 2),
        (&[1.0, -1.0], 1),
        (&[f64::INFINITY, 1.0], 0),
    ];
    for (sigmas, at) in bad {
        match Sigmas::new(sigmas.to_vec()) {
            Err(ScheduleError::NotFalling { index, .. }) => assert_eq!(index, at, "{sigmas:?}"),
            other => panic!("{sigmas:?}: {other:?}"),
        }
    }
    assert!(Sigmas::new(vec![f64::NAN, 1.0]).is_err());
}

#[test]
fn steps_join_neighbouring_levels() {
    let sigmas = Sigmas::new(vec![4.0, 2.0, 0.0]).unwrap();
    let steps: Vec<_> = sigmas.steps().map(|step| (step.index, step.from, step.to, step.is_last())).collect();
    assert_eq!(steps, [(0, 4.0, 2.0, false), (1, 2.0, 0.0, true)]);
    assert_eq!((sigmas.first(), sigmas.last(), sigmas.lowest_positive()), (4.0, 0.0, 2.0));
    assert_eq!(sigmas.starting_at(1).unwrap().as_slice(), [2.0, 0.0]);
    assert_eq!(sigmas.starting_at(2), Err(ScheduleError::NoSteps));
    assert_eq!(sigmas.starting_at(9), Err(ScheduleError::NoSteps));
}
