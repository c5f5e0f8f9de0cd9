//! Reads and writes every example line; the bytes must not change.

use std::collections::BTreeSet;

use mesh_records::{Record, RecordType};

const EXAMPLES: &str = include_str!("../../../tests/contract/records.ndjson");

#[test]
fn every_example_is_written_as_it_was_read() {
    for line in EXAMPLES.lines() {
        let record: Record = serde_json::from_str(line).expect(line);
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }
}

#[test]
fn every_record_type_has_an_example() {
    let shown: BTreeSet<RecordType> = EXAMPLES
        .lines()
        .map(|line| serde_json::from_str::<Record>(line).unwrap().kind())
        .collect();
    let foreign = BTreeSet::from([RecordType::Foreign]);
    assert_eq!(
        shown.len(),
        RecordType::COUNT,
        "{:?}",
        shown.union(&foreign)
    );
}
