use super::*;

impl Screen {
    fn add_line(&mut self, line: &str) -> Option<String> {
        self.add(&serde_json::from_str(line).unwrap())
    }
}

const VERDICT: &str = r#"{"type":"verdict","cluster":"eu","control_plane":"linkerd","ask":"ASK","pass":PASS,"from":{"version":"stable-2.13.7"},"target":"stable-2.14.10","scope":"full","source":"server","blocking":[],"releases_sha256":"0","counts":{"workloads":40,"behind":31}}"#;

fn said(ask: &str, pass: &str, change: (&str, &str)) -> String {
    let line = VERDICT.replace("ASK", ask).replace("PASS", pass);
    let mut screen = Screen::new(Detail::Short, Look::default());
    let line = line.replace(change.0, change.1);
    assert_eq!(screen.add_line(&line), None);
    screen.close()
}

#[test]
fn a_verdict_begins_with_an_answer_that_means_the_same_for_every_question() {
    let no = (r#""blocking":[]"#, r#""blocking":["proxy-too-old"]"#);
    for (ask, pass, change, answer) in [
        (
            "upgrade",
            "true",
            ("", ""),
            "OK  eu: you can upgrade the control plane",
        ),
        ("upgrade", "false", no, "BLOCKED  eu: do not upgrade"),
        ("drift", "true", ("", ""), "OK  eu: every proxy is within"),
        (
            "drift",
            "false",
            no,
            "NOT OK  eu: not every proxy is within",
        ),
        (
            "roll",
            "true",
            ("", ""),
            "OK  eu: you can restart the workloads",
        ),
        ("roll", "false", no, "BLOCKED  eu: do not restart"),
        (
            "done",
            "true",
            (r#""behind":31"#, r#""same":40"#),
            "DONE  eu: the control plane and the workloads run stable-2.14.10",
        ),
        (
            "done",
            "true",
            (r#""behind":31"#, r#""behind":2,"same":38"#),
            "DONE  eu: the control plane and 38 of 40 workloads run stable-2.14.10",
        ),
        ("done", "false", no, "NOT DONE  eu: not everything runs"),
    ] {
        let said = said(ask, pass, change);
        assert!(said.starts_with(answer), "{said}");
        assert_eq!(said.contains("proxy-too-old"), pass == "false", "{said}");
    }
}

#[test]
fn an_answer_names_what_limits_it() {
    let partial = (r#""scope":"full""#, r#""scope":"partial""#);
    assert!(said("upgrade", "true", partial).contains("only a part of the cluster"));
    let waived = (
        r#""blocking""#,
        r#""waived":["newer-than-known"],"blocking""#,
    );
    assert!(said("upgrade", "true", waived).contains("acknowledged: newer-than-known"));
    let unknown = (r#""behind":31"#, r#""behind":31,"unknown":2"#);
    let said = said("drift", "true", unknown);
    assert!(
        said.contains("31 of 40 workloads behind; 2 of 40 workloads of unknown version"),
        "{said}"
    );
}

const WORKLOAD: &str = r#"{"type":"workload","cluster":"eu","ref":"shop/Deployment/web","kind":"Deployment","namespace":"shop","name":"web","uid":"1","control_plane":"linkerd","pods":{"wanted":3,"total":3,"ready":3,"meshed":3},"proxies":[{"version":"stable-2.13.7","line":"2.13","source":"image","native":false,"count":3}],"trust_anchors":"current","roll":{"by":"restart"},"downtime":{"grade":"none"}}"#;

// A control plane of `cluster` and so many workloads, of which the first is not ready.
fn survey(screen: &mut Screen, cluster: &str, workloads: usize) {
    let plane = r#"{"type":"control_plane","cluster":"eu","namespace":"linkerd","version":"stable-2.13.7","components":[],"state":"settled","installed_by":"helm","ha":false}"#;
    screen.add_line(&plane.replace("\"eu\"", &format!("\"{cluster}\"")));
    for number in 0..workloads {
        let line = WORKLOAD.replace("\"eu\"", &format!("\"{cluster}\""));
        let line = line.replace("\"web\"", &format!("\"web-{number}\""));
        let ready = if number == 0 {
            "\"ready\":2"
        } else {
            "\"ready\":3"
        };
        screen.add_line(&line.replace("\"ready\":3", ready));
    }
}

#[test]
fn rows_that_need_nothing_are_counted_where_they_do_not_fit_or_nobody_asked_for_them() {
    let table = [
        (Detail::Short, Look::terminal(80), 40, false),
        (Detail::Short, Look::terminal(80), 5, true),
        (Detail::Short, Look::default(), 40, true),
        (Detail::Wide, Look::terminal(80), 40, true),
        (Detail::Problems, Look::default(), 5, false),
    ];
    for (detail, look, workloads, is_all) in table {
        let mut screen = Screen::new(detail, look);
        survey(&mut screen, "eu", workloads);
        let text = screen.close();
        assert!(
            text.contains("Deployment/web-0"),
            "the one that is not ready: {text}"
        );
        assert_eq!(
            text.contains("Deployment/web-4 "),
            is_all,
            "{detail:?}: {text}"
        );
        let rest = format!("{} more workloads with nothing to note", workloads - 1);
        assert_eq!(text.contains(&rest), !is_all, "{detail:?}: {text}");
        let sum = format!(
            "{workloads} workloads, {} pods, 1 namespace\n",
            3 * workloads
        );
        assert!(text.contains(&sum), "{text}");
        let width = look.size.map_or(usize::MAX, |size| size.columns);
        assert!(
            text.lines().all(|line| line.chars().count() <= width),
            "{text}"
        );
    }
}

#[test]
fn what_is_behind_is_listed_where_all_was_to_be_done() {
    let skew = r#""downtime":{"grade":"none"},"skew":{"state":"behind","minors":1,"action":"roll","why":["proxy-behind"]}}"#;
    let behind = WORKLOAD.replace(r#""downtime":{"grade":"none"}}"#, skew);
    assert_ne!(behind, WORKLOAD);
    for (ask, is_listed) in [("upgrade", false), ("drift", false), ("done", true)] {
        let mut screen = Screen::new(Detail::Short, Look::terminal(80));
        screen.add_line(&behind);
        screen.add_line(&VERDICT.replace("ASK", ask).replace("PASS", "false"));
        let text = screen.close();
        assert_eq!(text.contains("Deployment/web"), is_listed, "{ask}: {text}");
        let counted = text.contains("behind within the supported skew");
        assert_eq!(counted, !is_listed, "{ask}: {text}");
    }
}

#[test]
fn what_is_only_behind_is_counted_where_it_does_not_fit_and_a_pin_is_listed() {
    let skew = r#""downtime":{"grade":"none"},"skew":{"state":"behind","minors":2,"action":"leave","why":[]}}"#;
    let behind = WORKLOAD.replace(r#""downtime":{"grade":"none"}}"#, skew);
    for (workloads, look, is_listed) in [
        (50, Look::terminal(80), false),
        (5, Look::terminal(80), true),
        (50, Look::default(), true),
    ] {
        let mut screen = Screen::new(Detail::Short, look);
        for number in 0..workloads {
            let name = format!("\"web-{number}\"");
            let mut line = behind.replace("\"web\"", &name);
            if number == 0 {
                line = line.replace("\"ready\":3", "\"ready\":2");
            }
            screen.add_line(&line);
        }
        screen.add_line(&VERDICT.replace("ASK", "upgrade").replace("PASS", "false"));
        let text = screen.close();
        assert!(text.contains("Deployment/web-0 "), "{text}");
        assert!(text.contains("2 minors  not yet"), "{text}");
        assert_eq!(text.contains("Deployment/web-4 "), is_listed, "{text}");
        let rest = "49 more workloads, behind (-o wide lists all)\n";
        assert_eq!(text.contains(rest), !is_listed, "{text}");
    }
}

#[test]
fn a_fleet_has_a_column_for_the_cluster_and_one_line_for_all() {
    let mut screen = Screen::new(Detail::Short, Look::default());
    for (cluster, pass) in [("eu", "true"), ("us", "false")] {
        survey(&mut screen, cluster, 2);
        let line = VERDICT.replace("ASK", "drift").replace("PASS", pass);
        screen.add_line(&line.replace("\"eu\"", &format!("\"{cluster}\"")));
    }
    let text = screen.close();
    assert!(text.contains("CLUSTER  NAMESPACE"), "{text}");
    assert!(text.ends_with("NOT OK  1 of 2 clusters: us\n"), "{text}");
}

#[test]
fn names_alone_are_the_workloads() {
    let mut screen = Screen::new(Detail::Names(None), Look::default());
    assert_eq!(screen.add_line(WORKLOAD).unwrap(), "shop/Deployment/web\n");
    let verdict = VERDICT.replace("ASK", "drift").replace("PASS", "true");
    assert_eq!(screen.add_line(&verdict), None);
    let mut problems = Screen::new(Detail::Names(Some(Only::Problems)), Look::default());
    assert_eq!(problems.add_line(WORKLOAD), None);
    let unready = WORKLOAD.replace("\"ready\":3", "\"ready\":2");
    assert!(problems.add_line(&unready).is_some());
    assert_eq!(screen.close(), "");
}

const RUN: &str = r#"{"type":"intent","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"restart 3 workloads","deeds":[{"verb":"restart","object":"shop/Deployment/web"},{"verb":"restart","object":"shop/Deployment/api"},{"verb":"restart","object":"shop/Deployment/db"}],"digest":"d1"}
{"type":"skipped","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"it is paused","ref":"shop/Deployment/cron","kind":"Deployment","namespace":"shop","name":"cron","uid":"1","class":"attention","reason":"paused"}
{"type":"skipped","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"it is a Job","ref":"shop/Job/j","kind":"Job","namespace":"shop","name":"j","uid":"1","class":"expected","reason":"job"}
{"type":"progress","cluster":"eu","time":"2026-03-02T09:15:01Z","message":"restarting shop/Deployment/web","ref":"shop/Deployment/web","kind":"Deployment","namespace":"shop","name":"web","uid":"1","pods":{"wanted":3,"updated":0,"ready":3}}
{"type":"rolled","cluster":"eu","time":"2026-03-02T09:15:31Z","message":"it is done","ref":"shop/Deployment/web","kind":"Deployment","namespace":"shop","name":"web","uid":"1","strategy":"restart","from":[],"to":"b","outcome":"proven","pods":{"wanted":3,"new":3,"proven":3},"duration_ms":30000}
{"type":"rolled","cluster":"eu","time":"2026-03-02T09:19:12Z","message":"shop/Deployment/api failed: pod api-1, container c: CrashLoopBackOff","ref":"shop/Deployment/api","kind":"Deployment","namespace":"shop","name":"api","uid":"2","strategy":"restart","from":[],"outcome":"failed","reason":"crash-loop","pods":{"wanted":3,"new":1,"proven":0},"duration_ms":1000}
{"type":"end","tool":"mesh-roll","cluster":"eu","outcome":"complete","exit":1,"totals":{},"reason":"a workload failed","next":"mesh-survey | mesh-roll"}"#;

// What a person sees of a run: at once, and at its end.
fn run(change: impl Fn(&mut Screen), replace: (&str, &str)) -> (String, String) {
    let mut screen = Screen::new(Detail::Short, Look::default());
    change(&mut screen);
    let lines = RUN.lines().map(|line| line.replace(replace.0, replace.1));
    let at_once = lines.filter_map(|line| screen.add_line(&line)).collect();
    (at_once, screen.close())
}

#[test]
fn a_run_ends_with_its_counts_what_failed_and_the_way_on() {
    let (at_once, sum) = run(|_| {}, ("", ""));
    for line in [
        "  restart shop/Deployment/api",
        "  digest d1",
        "! it is paused",
        "restarting shop/Deployment/web",
        "ok shop/Deployment/web   3 pods    30s",
        "x shop/Deployment/api failed: pod api-1, container c: CrashLoopBackOff",
    ] {
        assert!(at_once.lines().any(|it| it == line), "{line}: {at_once}");
    }
    assert!(!at_once.contains("it is a Job"), "{at_once}");
    let expected = "NOT DONE  1 of 3 restarted and proven in 4m12s, 1 failed, 1 skipped and needs attention\n  \
                    failed     shop/Deployment/api failed: pod api-1, container c: CrashLoopBackOff\n  \
                    attention  shop/Deployment/cron\n  untouched  1 Job\n\
                    next  mesh-survey | mesh-roll\n";
    assert_eq!(sum, expected);
}

#[test]
fn a_plan_of_several_waves_shows_where_each_begins() {
    let line = r#"{"type":"intent","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"m","deeds":[{"verb":"restart","object":"shop/Deployment/web","wave":1},{"verb":"restart","object":"shop/StatefulSet/a","wave":2},{"verb":"restart","object":"shop/StatefulSet/b","wave":2}],"waves":["canary","StatefulSets"],"digest":"d1"}"#;
    let mut screen = Screen::new(Detail::Short, Look::default());
    let expected = "m\n  wave 1 of 2: canary: 1 workload\n  restart shop/Deployment/web\n  \
                    wave 2 of 2: StatefulSets: 2 workloads\n  restart shop/StatefulSet/a\n  \
                    restart shop/StatefulSet/b\n  digest d1\n";
    assert_eq!(screen.add_line(line).unwrap(), expected);
}

#[test]
fn a_plan_is_shown_once_and_a_start_only_where_nothing_else_shows_it() {
    let (asked, _) = run(Screen::leave_plan_to_the_question, ("", ""));
    assert!(!asked.contains("digest"), "{asked}");
    let (live, _) = run(Screen::leave_flights_to_the_gauge, ("", ""));
    assert!(!live.contains("restarting"), "{live}");
    let dry = (r#""digest""#, r#""dry_run":"client","digest""#);
    let (dry, sum) = run(Screen::leave_flights_to_the_gauge, dry);
    assert!(
        dry.contains("  would restart shop/Deployment/web\n"),
        "{dry}"
    );
    let said = "nothing was changed; 3 would be restarted, 1 failed";
    assert!(
        sum.starts_with(&format!("NOT DONE  {said}")),
        "the exit code is 1: {sum}"
    );
}

#[test]
fn what_has_fallen_since_its_proof_is_failed_and_not_proven() {
    let fallen = (r#""name":"api","uid":"2""#, r#""name":"web","uid":"1""#);
    let (_, sum) = run(|_| {}, fallen);
    assert!(
        sum.starts_with("NOT DONE  0 of 3 restarted and proven in 4m12s, 1 failed"),
        "{sum}"
    );
}

#[test]
fn a_warning_of_a_run_is_in_its_sum() {
    let step = r#"{"type":"step","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"all runs","step":"watch","state":"done"}"#;
    let end = r#"{"type":"end","tool":"mesh-cp-upgrade","outcome":"complete","exit":0,"totals":{},"reason":"web-1 is not ready"}"#;
    let mut screen = Screen::new(Detail::Short, Look::default());
    screen.add_line(step);
    screen.add_line(end);
    assert_eq!(screen.close(), "DONE  all runs; web-1 is not ready\n");
}

#[test]
fn a_warning_has_its_way_out_unless_its_sentence_has_it() {
    let warning = |said: &str, reason: &str| {
        let record = r#"{"type":"progress","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"warning: SAID","pods":{"wanted":0,"updated":0,"ready":0},"reason":"REASON"}"#;
        let mut screen = Screen::new(Detail::Short, Look::default());
        let record = record.replace("SAID", said).replace("REASON", reason);
        screen.add_line(&record).unwrap()
    };
    let text = warning("the lock is held", "wait for it");
    assert_eq!(text, "! warning: the lock is held\n  hint: wait for it\n");
    let text = warning("left over; remove it", "remove it");
    assert_eq!(text, "! warning: left over; remove it\n");
}

#[test]
fn a_part_is_said_to_be_one_first_and_last() {
    let mut screen = Screen::new(Detail::Short, Look::default());
    survey(&mut screen, "eu", 2);
    screen.add_line(r#"{"type":"end","tool":"mesh-skewcheck","outcome":"failed","exit":2,"totals":{},"reason":"the input was cut"}"#);
    let text = screen.close();
    let said = "FAILED  mesh-skewcheck did not complete: the input was cut\n";
    assert!(text.starts_with(said) && text.ends_with(said), "{text}");
}

#[test]
fn what_the_judge_cannot_place_or_roll_has_a_row() {
    let skew =
        |skew: &str| WORKLOAD.replace("\"downtime\"", &format!("\"skew\":{skew},\"downtime\""));
    let table = [
        (r#"{"state":"same","action":"leave","why":[]}"#, false),
        (
            r#"{"state":"behind","minors":1,"action":"roll","why":[]}"#,
            false,
        ),
        (
            r#"{"state":"behind","minors":1,"action":"skip","why":[]}"#,
            true,
        ),
        (
            r#"{"state":"behind","minors":2,"action":"roll","why":[]}"#,
            true,
        ),
        (r#"{"state":"unknown","action":"leave","why":[]}"#, true),
        (
            r#"{"state":"ahead","minors":1,"action":"leave","why":[]}"#,
            true,
        ),
    ];
    for (judged, has_row) in table {
        let mut screen = Screen::new(Detail::Problems, Look::default());
        screen.add_line(&skew(judged));
        assert_eq!(
            screen.close().contains("Deployment/web"),
            has_row,
            "{judged}"
        );
    }
}

const FINDING: &str = r#"{"type":"finding","cluster":"eu","id":"ID","severity":"warning","control_plane":"linkerd","message":"1 workload runs proxies that are too old (stable-2.12.6)","hint":"HINT","decided":"yes","count":5,"workloads":[{"ref":"shop/Deployment/web","kind":"Deployment","namespace":"shop","name":"web"},{"ref":"shop/Deployment/api","kind":"Deployment","namespace":"shop","name":"api"}]}"#;

// What a terminal of 60 columns shows of a finding.
fn found(id: &str, hint: &str) -> String {
    let mut screen = Screen::new(Detail::Short, Look::terminal(60));
    screen.add_line(&FINDING.replace("ID", id).replace("HINT", hint));
    screen.close()
}

#[test]
fn a_hint_keeps_to_its_column_and_a_command_in_it_works_as_pasted() {
    let sentence = found(
        "pinned",
        "remove the pin from the annotations of the namespace",
    );
    let expected = "! pinned  1 workload runs proxies that are too old
          (stable-2.12.6): shop/Deployment/web,
          shop/Deployment/api and 3 more
          hint: remove the pin from the annotations of the
                namespace\n\n";
    assert_eq!(sentence, expected);
    let command = "mesh-survey --context eu | mesh-skewcheck --ask roll | mesh-roll";
    let command = found("pinned", command);
    let expected = "          hint: mesh-survey --context eu |
                mesh-skewcheck --ask roll | mesh-roll\n\n";
    assert!(command.ends_with(expected), "{command}");
    let last = "kubectl --context eu -n shop describe deployment/web";
    let lines = found("pinned", &format!("see why: {last}"));
    let broken = last.replace(" deployment", &format!(" \\\n{}deployment", " ".repeat(18)));
    let expected = format!("          hint: see why:\n                {broken}\n\n");
    assert!(lines.ends_with(&expected), "{lines}");
    let whole = found("pinned", &format!("see {last}, then wait"));
    let expected = format!("see\n                {last},\n                then wait\n");
    assert!(whole.contains(&expected), "{whole}");
}

#[test]
fn a_name_that_is_too_long_for_its_column_has_a_line_of_its_own() {
    let text = found("note:2.15-2.16/proxy-init-resources", "look at it");
    let (name, rest) = text.split_once('\n').unwrap();
    assert_eq!(name, "! note:2.15-2.16/proxy-init-resources");
    assert!(
        rest.starts_with(&format!("{}1 workload", " ".repeat(28))),
        "{rest}"
    );
}

#[test]
fn the_way_on_stands_below_the_answer_with_a_line_for_each_minor_version() {
    let mut screen = Screen::new(Detail::Short, Look::default());
    survey(&mut screen, "eu", 9);
    screen.add_line(r#"{"type":"plan","cluster":"eu","control_plane":"linkerd","hops":[{"from":"2.13","to":"2.13","release":"stable-2.13.7","kind":"roll"},{"from":"2.13","to":"2.14","release":"1.31","kind":"kubernetes"},{"from":"2.13","to":"2.14","release":"stable-2.14.10","kind":"crds"},{"from":"2.13","to":"2.14","release":"stable-2.14.10","kind":"control-plane"}]}"#);
    let line = VERDICT.replace("ASK", "upgrade").replace("PASS", "true");
    screen.add_line(&line.replace(
        "\"scope\"",
        "\"next\":\"mesh-survey | mesh-roll\",\"scope\"",
    ));
    for _ in 0..9 {
        screen.add_line(&FINDING.replace("ID", "pinned"));
    }
    let expected = "
OK  eu: you can upgrade the control plane from stable-2.13.7 to stable-2.14.10
path  2.13: workloads to stable-2.13.7
      2.13 to 2.14: Kubernetes to 1.31, then CRDs, control plane to stable-2.14.10
next  mesh-survey | mesh-roll\n";
    let text = screen.close();
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn what_is_not_listed_is_counted_and_nothing_stands_below_it() {
    let mut screen = Screen::new(Detail::Problems, Look::default());
    screen.add_line(WORKLOAD);
    let verdict = VERDICT.replace("ASK", "drift").replace("PASS", "true");
    screen.add_line(&verdict);
    let counted = "\n1 workload with nothing to note (-o wide lists all)\n";
    assert!(screen.close().ends_with(counted), "{}", screen.close());
}

#[test]
fn a_judged_table_fits_eighty_columns_and_its_notes_stay_whole() {
    let skew = r#""skew":{"state":"unknown","action":"skip","why":[]},"downtime""#;
    let line = WORKLOAD.replace("\"downtime\"", skew);
    let line = line.replace("\"meshed\":3", "\"meshed\":0");
    let line = line.replace("\"web\"", "\"a-workload-with-a-long-name-28dd2c\"");
    let line = line.replace("\"shop\"", "\"team-accounts-production\"");
    let mut screen = Screen::new(Detail::Short, Look::terminal(80));
    screen.add_line(&line);
    let text = screen.close();
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let words: Vec<&str> = text.split_whitespace().collect();
    for word in ["asks", "for", "a", "proxy,", "has", "none"] {
        assert!(words.contains(&word), "{word}: {text}");
    }
}

#[test]
fn a_failure_is_said_once_and_a_no_at_the_question_is_no_failure() {
    let end = |reason: &str| {
        format!(
            r#"{{"type":"end","tool":"mesh-cp-upgrade","outcome":"failed","exit":2,"totals":{{}},"reason":"{reason}"}}"#
        )
    };
    let step = r#"{"type":"step","cluster":"eu","time":"2026-03-02T09:15:00Z","message":"no verdict","step":"gate","state":"failed"}"#;
    let sum = |reason: &str| {
        let mut screen = Screen::new(Detail::Short, Look::default());
        screen.add_line(step);
        screen.add_line(&end(reason));
        screen.close()
    };
    assert_eq!(
        sum("no verdict"),
        "FAILED  the step that failed above says why\n"
    );
    assert_eq!(sum("the disk is full"), "FAILED  the disk is full\n");
    let cancelled = "CANCELLED  nothing was changed\n";
    assert_eq!(sum("Cancelled. Nothing was changed."), cancelled);
    let mut nothing = Screen::new(Detail::Short, Look::default());
    nothing.add_line(&end("it is not there").replace("mesh-cp-upgrade", "mesh-survey"));
    let said = "FAILED  mesh-survey did not complete: it is not there\n";
    assert_eq!(nothing.close(), said, "nothing stands between");
}
