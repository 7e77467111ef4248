use super::*;

#[test]
fn philox_gives_the_published_numbers_of_seed_0() {
    let found = Philox4x32::new(0).randn(4);
    tronie_testing::assert_close(&found, &[-0.924_663, -0.425_344, -2.643_846, 0.145_184], 1e-6);
}
