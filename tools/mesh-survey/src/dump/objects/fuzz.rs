//! Generated dumps: the reader never panics, and no JSON that is cut is taken for a whole dump.

use mesh_dice::cases;

use super::tests::{CLUSTER, PODS};
use super::*;
use crate::look::Wish;

fn survey(dump: Dump) -> usize {
    let (survey, missing) = dump.survey("c", Wish::default());
    survey.control_planes.len() + missing.len()
}

#[test]
fn a_dump_that_is_cut_at_any_byte_is_an_error() {
    for whole in [CLUSTER, PODS] {
        // Nothing at all lacks every kind, which the survey says.
        for length in 1..whole.len() {
            let cut = Dump::default().add(&whole[..length]);
            assert!(cut.is_err(), "cut after {length} bytes");
        }
    }
}

#[test]
fn fuzz_dumps() {
    let yaml = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        serde_norway::to_string(&value).unwrap()
    };
    let forms = [
        CLUSTER.to_owned(),
        PODS.to_owned(),
        yaml(CLUSTER),
        yaml(PODS),
    ];
    let kinds = 4;
    cases(2000, |dice| {
        let mut bytes = dice.pick(&forms).clone().into_bytes();
        dice.damage(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let mut dump = Dump::default();
        if dump.add(&text).is_ok() {
            // One control plane at most for each namespace, and the kinds that are needed.
            assert!(survey(dump) <= text.len() + kinds, "{text}");
        }
    });
}
