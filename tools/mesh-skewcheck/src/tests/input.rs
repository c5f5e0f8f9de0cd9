//! Tests input that cannot be judged: each error has one line with the cause, and a hint.

use std::io::{BufRead, Read, Write};

use mesh_cli::Exit;
use serde_json::json;

use super::world::{TAKEN, World, judge, lines, run};

fn survey() -> String {
    World::at("stable-2.13.7").survey()
}

#[test]
fn input_that_cannot_be_judged_is_refused_with_a_cause_and_a_hint() {
    let whole = survey();
    let pretty = serde_json::to_string_pretty(&World::at("stable-2.13.7").stream).unwrap();
    let judged = judge(&[], &whole).text;
    let world = World::at("stable-2.13.7");
    let without_plane = lines(&world.stream, &[], &world.end);
    let filtered: String = whole
        .split_inclusive('\n')
        .filter(|line| line.contains("\"stream\"") || line.contains("\"end\""))
        .collect();
    let orphan = world
        .clone()
        .with(|world| world.workloads[1]["control_plane"] = json!("old"));
    let nameless = world
        .clone()
        .with(|world| drop(world.plane.as_object_mut().unwrap().remove("version")));
    let spliced = world
        .clone()
        .with(|world| world.workloads[0]["skew"] = json!(null));
    let copied = world
        .clone()
        .with(|world| world.workloads[1] = world.workloads[0].clone());
    let early = lines(
        &copied.stream,
        &[&copied.workloads[0], &copied.workloads[1], &copied.plane],
        &copied.end,
    );
    let overfull = world
        .clone()
        .with(|world| world.workloads[0]["pods"]["meshed"] = json!(3));
    let overlisted = world.with(|world| world.workloads[0]["proxies"][0]["count"] = json!(3));
    let wrong = whole.replace(
        "\"trust_anchors\":\"current\"",
        "\"trust_anchors\":\"maybe\"",
    );
    let more = whole.replacen("\"workload\":2", "\"workload\":1", 1);
    let stopped = whole.replace("complete", "stopped");
    let table: &[(&str, &str, &str, &str)] = &[
        ("nothing", "", "no stream", "upstream|before the pipe"),
        (
            "foreign records only",
            "{\"type\":\"note\"}\n",
            "no stream",
            "before the pipe",
        ),
        (
            "a table",
            "CLUSTER  CONTROL PLANE\n",
            "line 1: not a JSON record",
            "-o ndjson",
        ),
        ("pretty-printed", &pretty, "several lines", "jq -c"),
        (
            "malformed",
            "{\"type\":\"stream\"\n",
            "line 1",
            "select whole lines",
        ),
        (
            "judged already",
            &judged,
            "judged already",
            "output of mesh-survey",
        ),
        (
            "a judged workload",
            &spliced.survey(),
            "judged already",
            "output of mesh-survey",
        ),
        (
            "a copy in place of another workload",
            &copied.survey(),
            "line 4: workload shop/Deployment/web: the survey has this workload twice",
            "as it was written",
        ),
        (
            "the same before its control plane",
            &early,
            "has this workload twice",
            "as it was written",
        ),
        (
            "more meshed than there are",
            &overfull.survey(),
            "more pods are ready or meshed",
            "as it was written",
        ),
        (
            "more proxies than meshed pods",
            &overlisted.survey(),
            "on more pods than are meshed",
            "as it was written",
        ),
        (
            "twice",
            &format!("{whole}{whole}"),
            "a second survey",
            "survey each cluster once",
        ),
        (
            "no control plane",
            &without_plane,
            "no control plane",
            "check that Linkerd is installed",
        ),
        (
            "control plane filtered",
            &filtered,
            "a filter took it out",
            "jq -c 'select(.type != ",
        ),
        (
            "orphans",
            &orphan.survey(),
            "a control plane in `old`",
            "survey that control plane",
        ),
        (
            "no version",
            &nameless.survey(),
            "has no version",
            "linkerd-config",
        ),
        (
            "a wrong field",
            &wrong,
            "workload: trust_anchors",
            "tools of one version, and do not edit",
        ),
        (
            "more than the totals",
            &more,
            "wrote only 1",
            "select whole lines",
        ),
        (
            "upstream stopped",
            &stopped,
            "did not complete: stopped",
            "run the pipeline again",
        ),
        (
            "a `mesh/2`",
            &whole.replace("mesh/1", "mesh/2"),
            "schema",
            "tools of one version",
        ),
    ];
    for (name, input, cause, way) in table {
        let judged = judge(&[], input);
        let error = judged.exit.as_ref().expect_err(name);
        assert!(error.contains(cause), "{name}: {error}");
        assert!(
            way.split('|').any(|way| error.contains(way)),
            "{name}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
        assert!(judged.of_type("verdict").is_empty(), "{name}");
        let end = judged.records.last().unwrap();
        assert_eq!(
            (&end["outcome"], &end["exit"]),
            (&json!("failed"), &json!(2)),
            "{name}"
        );
    }
}

#[test]
fn a_stream_cut_at_any_byte_gives_no_verdict() {
    let whole = World::at("stable-2.13.7")
        .with(|world| world.workloads.truncate(1))
        .survey();
    for cut in 0..whole.trim_end().len() {
        let mut text = Vec::new();
        let exit = run(&[], &whole.as_bytes()[..cut], &mut text);
        assert!(exit.is_err(), "cut at {cut}");
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("\"type\":\"verdict\""), "cut at {cut}");
    }
}

#[test]
fn a_stream_cut_in_the_second_survey_gives_no_verdict_for_the_first() {
    let second = survey().replace("eu", "us");
    let cut = &second[..second.len() / 2];
    let judged = judge(&[], &format!("{}{cut}", survey()));
    assert!(judged.exit.is_err() && judged.of_type("verdict").is_empty());
}

#[test]
fn a_reader_that_went_away_ends_the_run_without_exit_0() {
    struct Deaf(usize);
    impl Write for Deaf {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let Some(left) = self.0.checked_sub(bytes.len()) else {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            };
            self.0 = left;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let input = survey();
    let heard = judge(&[], &input).text.len();
    for most in (0..heard).step_by(7) {
        assert!(
            run(&[], input.as_bytes(), Deaf(most)).is_err(),
            "after {most} bytes"
        );
    }
    assert_eq!(run(&[], input.as_bytes(), Deaf(heard)), Ok(Exit::Yes));
}

#[test]
fn expect_names_the_missing_cluster() {
    let both = format!("{}{}", survey(), survey().replace("eu", "us"));
    assert_eq!(judge(&["--expect", "eu,uid-us"], &both).exit, Ok(Exit::Yes));
    let missing = judge(&["--expect", "eu,us,asia"], &both).exit.unwrap_err();
    assert!(
        missing.contains("asia") && !missing.contains("eu,"),
        "{missing}"
    );
}

#[test]
fn max_age_refuses_an_old_survey_as_of_now() {
    let age = |now: &str| {
        judge(&["--max-age", "1h", "--now", now], &survey())
            .exit
            .is_ok()
    };
    assert!(age("2026-08-01T13:00:00Z") && age(TAKEN));
    assert!(!age("2026-08-01T13:00:01Z"), "too old");
    assert!(!age("2026-08-01T10:59:59Z"), "from the future");
    let timeless = World::at("stable-2.13.7")
        .with(|world| drop(world.stream.as_object_mut().unwrap().remove("time")));
    let refused = judge(&["--max-age", "1h", "--now", TAKEN], &timeless.survey());
    assert!(refused.exit.is_err());
}

#[test]
fn a_partial_survey_blocks_unless_partial_is_given() {
    let thinned: String = survey()
        .split_inclusive('\n')
        .filter(|line| !line.contains("uid-db"))
        .collect();
    let narrowed = World::at("stable-2.13.7")
        .with(|world| world.stream["scope"] = json!({"selector": "app=web"}))
        .survey();
    for input in [&thinned, &narrowed] {
        let refused = judge(&[], input);
        assert_eq!(refused.exit, Ok(Exit::No));
        assert_eq!(refused.verdict()["scope"], "partial");
        let allowed = judge(&["--partial"], input);
        assert_eq!(allowed.exit, Ok(Exit::Yes));
        assert_eq!(allowed.verdict()["scope"], "partial");
        let rolling = judge(&["--ask", "roll"], input);
        assert_eq!(rolling.exit, Ok(Exit::Yes));
        assert_eq!(rolling.verdict()["scope"], "partial");
    }
    assert_eq!(judge(&["--partial"], &survey()).verdict()["scope"], "full");
}

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    for (args, cause, way) in [
        (&["--ask", "done"][..], "needs a target", "--to"),
        (&["--ask", "upgrade"], "needs a target", "--to"),
        (
            &["--ask", "drift", "--to", "2.14"],
            "takes no `--to`",
            "leave out",
        ),
        (&["--to", "2.14.10"], "names no channel", "stable-2.14.10"),
        (&["--to", "edge-25.4"], "three numbers", "edge-25.4.1"),
        (&["--ack", "downgrade"], "mandatory", "fix"),
        (&["--ack", "proxy-ahed"], "no rule", "newer-than-known"),
        (&["--releases", "no/such/file"], "no/such/file", ""),
    ] {
        let error = judge(args, &survey()).exit.unwrap_err();
        assert!(
            error.contains(cause) && error.contains(way),
            "{args:?}: {error}"
        );
    }
    let enterprise = World::at("enterprise-2.15.0").survey();
    let error = judge(&["--to", "2.16"], &enterprise).exit.unwrap_err();
    assert!(
        error.contains("no release of 2.16") && error.contains("name the release"),
        "{error}"
    );
}

// Input that hits a bug of the program.
struct Bug;

impl Read for Bug {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("a planted bug")
    }
}

impl BufRead for Bug {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        panic!("a planted bug")
    }

    fn consume(&mut self, _: usize) {}
}

#[test]
fn a_panic_ends_the_stream_as_failed() {
    let survey = survey();
    let half = survey.lines().next().unwrap();
    let mut out = Vec::new();
    let input = format!("{half}\n");
    let error = run(&[], Read::chain(input.as_bytes(), Bug), &mut out).unwrap_err();
    assert!(error.contains("a planted bug"), "{error}");
    let text = String::from_utf8(out).unwrap();
    let end: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&end["type"], &end["outcome"]),
        (&json!("end"), &json!("failed"))
    );
    assert_eq!(end["exit"], 2);
}
