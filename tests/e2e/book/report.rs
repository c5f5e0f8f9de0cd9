//! Tests `scripts/report`.

mod browser;

use std::fs;
use std::process::Command;

use mesh_tests::{Toolbox, toolbox};
use serde_json::{Value, json};

use crate::{Said, root};

/// The examples of the docs: a survey, its judgement and a roll, each whole.
const STREAMS: [&str; 3] = ["survey", "verdict", "roll"];

fn example(name: &str) -> String {
    fs::read_to_string(root(&format!("docs/example/{name}.ndjson"))).unwrap()
}

/// Writes streams and makes their page.
fn page(tools: &Toolbox, streams: &[(&str, &str)]) -> Said {
    let mut command: Command = tools.command(root("scripts/report"));
    command.current_dir(tools.folder());
    for (name, stream) in streams {
        fs::write(tools.folder().join(name), stream).unwrap();
        command.arg(name);
    }
    Said::of(&mut command)
}

/// The elements of a page in their order, without those that have no end. Fails on one that is not
/// closed where it must be.
#[track_caller]
fn elements(page: &str) -> Vec<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for part in page.split('<').skip(1) {
        let tag = part.split(['>', ' ']).next().unwrap();
        match tag.strip_prefix('/') {
            Some(tag) => assert_eq!(open.pop(), Some(tag), "{part}"),
            None => {
                all.push(tag.to_owned());
                if !["!DOCTYPE", "meta", "br"].contains(&tag) {
                    open.push(tag);
                }
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[test]
fn page_of_whole_streams_stands_alone_and_has_headings_and_named_columns() {
    let tools = toolbox!();
    let streams = STREAMS.map(|name| (name, example(name)));
    let streams = streams.each_ref().map(|(name, text)| (*name, &**text));
    let page = page(&tools, &streams).exits(0).stdout;
    let elements = elements(&page);
    let count = |tag: &str| elements.iter().filter(|it| *it == tag).count();
    for foreign in ["script", "link", "img", "iframe"] {
        assert_eq!(count(foreign), 0, "{foreign}");
    }
    for loads in ["src=", "url(", "@import", "http://", "href="] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert_eq!((count("h1"), count("title"), count("main")), (1, 1, 1));
    assert!(page.contains("<html lang='en'>"));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    assert_eq!(
        page.matches("<th scope='col'>").count() + page.matches("<th scope='row'>").count(),
        count("th")
    );
    assert!(count("table") >= 6, "{elements:?}");
    assert!(!page.contains("Not everything is here"));
    // No stream of these asks whether the upgrade is done, so nothing may say that it is.
    assert!(page.contains("<strong>NO ANSWER</strong>"), "{page}");
}

#[test]
fn text_of_the_cluster_is_no_markup() {
    let tools = toolbox!();
    let evil = r#"</td><script>alert('x')</script>"#;
    let swap = |name: &str| {
        example(name).replace("storefront/Deployment/web", &evil.replace('\'', "\\u0027"))
    };
    let streams = STREAMS.map(|name| (name, swap(name)));
    let streams = streams.each_ref().map(|(name, text)| (*name, &**text));
    let page = page(&tools, &streams).exits(0).stdout;
    assert!(page.contains("&lt;script&gt;alert("), "{page}");
    assert!(!page.contains("alert('x')"));
    assert!(!elements(&page).contains(&"script".to_owned()));
}

#[test]
fn stream_that_is_cut_thinned_or_empty_is_named_before_anything_else() {
    let tools = toolbox!();
    let survey = example("survey");
    let roll = example("roll");
    let without_end = |stream: &str| {
        let mut lines: Vec<&str> = stream.lines().collect();
        lines.pop();
        lines.join("\n")
    };
    let torn = &survey[..survey.len() / 2];
    let closed = without_end(&survey);
    let mut thinned: Vec<&str> = survey.lines().collect();
    let workload = thinned
        .iter()
        .position(|it| it.contains(r#""type":"workload""#));
    thinned.remove(workload.unwrap());
    let thinned = thinned.join("\n");
    let again = format!("{}\n{roll}", without_end(&roll));
    let failed = roll.replace(r#""outcome":"complete""#, r#""outcome":"failed""#);
    for (stream, said) in [
        (torn, "is not a record: it was cut"),
        (torn, "mesh-survey (from line 1) was cut: it has no end"),
        (&*closed, "mesh-survey (from line 1) was cut: it has no end"),
        (&*thinned, "has lost records: "),
        // The second run was appended to the file of the first, which was killed.
        (&*again, "mesh-roll (from line 1) was cut: it has no end"),
        (&*failed, "mesh-roll (from line 1) failed"),
        ("", "there is no stream in it"),
        ("{}\n", "line 1 is outside of every stream"),
    ] {
        let page = page(&tools, &[("stream", stream)]).exits(0).stdout;
        let doubt = page.find("Not everything is here").expect(said);
        let place = page.find(said).unwrap_or_else(|| panic!("{said}: {page}"));
        let rest = page
            .find("<h1>")
            .or_else(|| page.find("class='answer"))
            .unwrap();
        assert!(doubt < place && place < rest, "{said}");
        assert!(!page.contains("<strong>DONE</strong>"), "{said}");
        elements(&page);
    }
}

#[test]
fn rollout_without_an_outcome_and_yes_before_a_later_run_are_no_done() {
    let tools = toolbox!();
    let roll = example("roll");
    let lost: Vec<&str> = roll
        .lines()
        .filter(|it| !it.contains(r#""type":"rolled""#))
        .collect();
    let page_of = |stream: &str| page(&tools, &[("stream", stream)]).exits(0).stdout;
    assert!(page_of(&lost.join("\n")).contains("✗ no result"));
    let done = r#"{"type":"stream","schema":"mesh/1","tool":"mesh-skewcheck","version":"0.1.0"}
{"type":"verdict","cluster":"prod-eu","control_plane":"linkerd","ask":"done","pass":true,"from":{"version":"stable-2.14.10"},"target":"stable-2.14.10","scope":"full","source":"server","surveyed":"TIME","blocking":[],"releases_sha256":"0","counts":{}}
{"type":"end","tool":"mesh-skewcheck","outcome":"complete","exit":0,"totals":{"verdict":1}}
"#;
    let early = done.replace("TIME", "2026-03-04T00:00:00Z");
    let late = done.replace("TIME", "2026-03-06T00:00:00Z");
    let dump = late.replace(r#""source":"server""#, r#""source":"dump""#);
    let partial = late.replace(r#""scope":"full""#, r#""scope":"partial""#);
    let cut = late.lines().take(2).collect::<Vec<_>>().join("\n");
    let mixed = late.replace(r#""counts":{}"#, r#""counts":{"behind":1,"ahead":1}"#);
    let but = "except 2 workloads with another version, which the rules let pass";
    assert!(page_of(&mixed).contains(but) && !page_of(&late).contains("except"));
    for (stream, is_done) in [
        (&early, false),
        (&late, true),
        (&dump, false),
        (&partial, false),
        (&cut, false),
    ] {
        let page = page_of(&format!("{roll}{stream}"));
        assert_eq!(page.contains("<strong>DONE</strong>"), is_done, "{stream}");
    }
}

#[test]
fn last_run_that_says_something_of_a_workload_decides_whether_it_needs_somebody() {
    let tools = toolbox!();
    let roll = example("roll");
    let failed = "checkout/Deployment/payment failed: ";
    let run = |change: &[(&str, &str)]| {
        let change = change.iter();
        change.fold(roll.clone(), |roll, (from, to)| roll.replace(from, to))
    };
    let later = ("2026-03-05T", "2026-03-06T");
    let proven = (r#""outcome":"failed""#, r#""outcome":"proven""#);
    let dry = (
        r#""tool":"mesh-roll","#,
        r#""tool":"mesh-roll","dry_run":"server","#,
    );
    for (second, needs_somebody) in [
        (run(&[later]), true),
        (run(&[later, proven]), false),
        // A rehearsal changes nothing, and the run before it is older than what it mends.
        (run(&[later, proven, dry]), true),
        (run(&[("2026-03-05T", "2026-03-04T"), proven]), true),
    ] {
        let page = page(&tools, &[("first", &roll), ("second", &second)]).exits(0);
        let section = page.stdout.split("<h2>Needs somebody</h2>").nth(1).unwrap();
        let section = section.split("</section>").next().unwrap();
        assert_eq!(section.contains(failed), needs_somebody, "{section}");
    }
}

#[test]
fn step_of_one_control_plane_takes_no_failure_of_another_off() {
    let tools = toolbox!();
    let run = |time: &str, state: &str| {
        let begin = json!({ "type": "stream", "schema": "mesh/1", "tool": "mesh-cp-upgrade", "cluster": "c", "time": time });
        let progress = json!({ "type": "progress", "cluster": "c", "message": "it is ready" });
        let step = json!({ "type": "step", "cluster": "c", "message": "it settles", "step": "watch", "state": state });
        let end = json!({ "type": "end", "tool": "mesh-cp-upgrade", "outcome": "complete", "exit": 0, "totals": { "progress": 1, "step": 1 } });
        [begin, progress, step, end]
            .map(|it| format!("{it}\n"))
            .concat()
    };
    let failed = run("2026-01-01T00:00:00Z", "failed");
    let done = run("2026-01-02T00:00:00Z", "done");
    for (planes, is_listed) in [(&["linkerd"][..], false), (&["linkerd", "other"], true)] {
        let planes = planes
            .iter()
            .map(|it| json!({ "type": "control_plane", "cluster": "c", "namespace": it }));
        let begin =
            json!({ "type": "stream", "schema": "mesh/1", "tool": "mesh-survey", "cluster": "c" });
        let survey: String = [begin]
            .into_iter()
            .chain(planes)
            .map(|it| format!("{it}\n"))
            .collect();
        let streams = [
            ("survey", &*survey),
            ("first", &*failed),
            ("second", &*done),
        ];
        let page = page(&tools, &streams).exits(0).stdout;
        assert_eq!(page.contains("step watch"), is_listed, "{page}");
        assert!(!page.contains("its outcome is in no record"), "{page}");
    }
}

#[test]
fn answer_is_that_of_each_cluster_and_of_its_worst_control_plane() {
    let tools = toolbox!();
    let verdict = |cluster: &str, plane: &str, pass: bool| {
        json!({
            "type": "verdict", "cluster": cluster, "control_plane": plane, "ask": "done", "pass": pass,
            "from": {}, "target": "stable-2.14.10", "scope": "full", "source": "server",
            "surveyed": "2026-03-06T00:00:00Z", "blocking": ["proxy-behind"], "counts": {},
        })
    };
    let stream = |verdicts: &[Value]| {
        let begin = json!({ "type": "stream", "schema": "mesh/1", "tool": "mesh-skewcheck" });
        let end = json!({ "type": "end", "tool": "mesh-skewcheck", "outcome": "complete", "exit": 1, "totals": { "verdict": verdicts.len() } });
        let all = [&begin].into_iter().chain(verdicts).chain([&end]);
        all.map(|it| format!("{it}\n")).collect::<String>()
    };
    let answers = |streams: &[&str]| {
        let names = ["a", "b"].into_iter().zip(streams.iter().copied());
        let page = page(&tools, &names.collect::<Vec<_>>()).exits(0).stdout;
        let answers = page.split("<strong>").skip(1);
        let answers = answers.filter_map(|it| it.split('<').next().map(str::to_owned));
        answers.collect::<Vec<_>>()
    };
    let fleet = stream(&[
        verdict("eu", "linkerd", true),
        verdict("us", "linkerd", false),
    ]);
    assert_eq!(answers(&[&fleet]), ["DONE", "NOT DONE"]);
    let two = stream(&[
        verdict("eu", "linkerd", false),
        verdict("eu", "other", true),
    ]);
    assert_eq!(answers(&[&two]), ["NOT DONE"]);
    // The survey has a control plane that nobody asked about.
    let other = stream(&[verdict("prod-eu", "other", true)]);
    assert_eq!(answers(&[&example("survey"), &other]), ["NO ANSWER"]);
}

#[test]
fn file_that_cannot_be_read_gives_no_page() {
    let tools = toolbox!();
    let wrong = r#"{"type":"stream","schema":"mesh/1","tool":"mesh-survey","version":"0"}
{"type":"workload","proxies":7,"pods":"x"}
{"type":"end","tool":"mesh-survey","outcome":"complete","exit":0,"totals":{"workload":1}}
"#;
    let said = page(&tools, &[("stream", wrong)]).exits(2);
    assert_eq!(said.stdout, "");
    let mut command = tools.command(root("scripts/report"));
    let said = Said::of(command.arg("absent.ndjson")).exits(2);
    assert_eq!(
        (&*said.stdout, &*said.stderr),
        ("", "report: cannot read absent.ndjson\n")
    );
}
