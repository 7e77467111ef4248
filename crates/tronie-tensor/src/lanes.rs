//! Independent jobs side by side on a CPU, each on one thread.
//!
//! Kernels of small networks are over before a second thread has begun; two such jobs side by side keep two cores
//! busy where one job on two threads does not. What a job computes does not depend on how it is run.

use std::sync::Mutex;
use std::thread;

use rayon::ThreadPoolBuilder;

/// How many jobs can run side by side here.
#[must_use]
pub fn n_available() -> usize {
    rayon::current_num_threads()
}

/// Runs every job and returns the results in the jobs' order: up to one job per core at the same time, each with its
/// kernels on a single thread. With one core or one job they run here, with all threads.
///
/// # Panics
/// When a job panics.
pub fn side_by_side<T: Send, R: Send>(jobs: Vec<T>, run: impl Fn(T) -> R + Sync) -> Vec<R> {
    let n_lanes = n_available().min(jobs.len());
    let pool = || ThreadPoolBuilder::new().num_threads(1).build();
    let pools: Vec<_> = (0..n_lanes).map_while(|_| pool().ok()).collect();
    if pools.len() < 2 {
        return jobs.into_iter().map(run).collect();
    }
    let n_jobs = jobs.len();
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(n_jobs));
    let (next, keep) = (|| lock(&waiting).next(), |row| lock(&done).push(row));
    let lane = || {
        while let Some((place, job)) = next() {
            keep((place, run(job)));
        }
    };
    thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| pool.install(lane));
        }
    });
    let mut done: Vec<(usize, R)> = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A job that panics takes the scope with it, so what is behind a poisoned lock is never used.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..50).collect();
        let slow_first = |job: u64| {
            thread::sleep(std::time::Duration::from_micros(500 - job * 10));
            job * job
        };
        assert_eq!(side_by_side(jobs, slow_first), (0..50).map(|job| job * job).collect::<Vec<u64>>());
    }

    #[test]
    fn every_job_has_one_thread_where_several_run() {
        let two = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let threads = |()| rayon::current_num_threads();
        assert_eq!(two.install(|| side_by_side(vec![(); 3], threads)), [1, 1, 1]);
        assert_eq!(two.install(|| side_by_side(vec![()], threads)), [2], "a single job has all of them");
    }

    #[test]
    #[should_panic(expected = "scoped thread panicked")]
    fn a_panic_in_a_job_is_not_swallowed() {
        let two = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        two.install(|| side_by_side(vec![1, 2], |job| assert_eq!(job, 1)));
    }
}
