//! Any JSON object comes out byte for byte but for the spliced field, and a cut gives no verdict.

use serde_json::{Map, Value};

use super::dice::{Dice, any_world, cases};
use super::world::{World, asked, run, run_asked};

/// Makes JSON text in an odd spelling.
fn value(dice: &mut Dice, depth: usize) -> String {
    let gap = dice.pick(&["", " ", "  ", "\t"]);
    let kinds = if depth == 0 { 6 } else { 8 };
    match dice.roll(kinds) {
        0 => "null".to_owned(),
        1 => (*dice.pick(&["true", "false"])).to_owned(),
        2 => (*dice.pick(&["0", "-0", "1.0e2", "1E+400", "9007199254740993", "0.10"])).to_owned(),
        3..6 => text(dice),
        6 => {
            let items: Vec<String> = (0..dice.roll(4)).map(|_| value(dice, depth - 1)).collect();
            format!("[{gap}{}{gap}]", items.join(&format!("{gap},")))
        }
        _ => object(dice, depth - 1, &[]),
    }
}

fn text(dice: &mut Dice) -> String {
    let parts = [
        "a",
        "type",
        "workload",
        "\\u0000",
        "\\\"",
        "\\\\",
        "\\/",
        "é",
        "\u{202e}",
        "😀",
        "\\ud83d\\ude00",
        "}",
        "{",
        ",",
        ":",
        "\\n",
        " ",
        "skew",
        "\\u007b",
        "\u{feff}",
    ];
    let parts: String = (0..dice.roll(5)).map(|_| *dice.pick(&parts)).collect();
    format!("\"{parts}\"")
}

fn object(dice: &mut Dice, depth: usize, more: &[String]) -> String {
    let gap = dice.pick(&["", " ", "  ", "\t"]);
    let mut fields: Vec<String> = (0..dice.roll(4))
        .map(|index| format!("\"f{index}\"{gap}:{gap}{}", value(dice, depth)))
        .collect();
    fields.extend(more.iter().cloned());
    dice.shuffle(&mut fields);
    format!("{{{gap}{}{gap}}}", fields.join(&format!("{gap},{gap}")))
}

fn foreign(dice: &mut Dice) -> String {
    let kind = dice.pick(&["note", "x-y", "\\u006eote", "Workload", "verdict2"]);
    object(dice, 3, &[format!("\"type\":\"{kind}\"")])
}

/// Spells a record in another way, with foreign fields.
fn respelled(line: &str, dice: &mut Dice) -> String {
    let record: Map<String, Value> = serde_json::from_str(line).unwrap();
    let fields = record
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"));
    object(dice, 2, &fields.collect::<Vec<_>>())
}

#[test]
fn any_json_object_comes_out_byte_for_byte_but_for_the_spliced_field() {
    let mut dice = Dice::new(5);
    let each = 20;
    let (mut spliced, mut passed) = (0, 0);
    for _ in 0..cases(4_000).div_ceil(each) {
        let survey = World::at("stable-2.13.7").survey();
        let mut input = String::new();
        let mut lines = Vec::new();
        for line in survey.lines() {
            for _ in 0..dice.roll(each / 2) {
                lines.push(foreign(&mut dice));
            }
            let is_workload = line.contains("\"type\":\"workload\"");
            lines.push(if is_workload {
                respelled(line, &mut dice)
            } else {
                line.to_owned()
            });
        }
        for line in &lines {
            input.push_str(line);
            let end = *dice.pick(&["\n", "\r\n", "\n\n"]);
            input.push_str(end);
        }
        let mut text = Vec::new();
        let exit = run(&[], input.as_bytes(), &mut text);
        assert!(exit.is_ok(), "{exit:?}: {input}");
        let text = String::from_utf8(text).unwrap();
        let mut out = text.lines().skip(1);
        for line in &lines {
            let written = out.next().unwrap();
            if written == line {
                passed += 1;
                continue;
            }
            let (start, rest) = line.split_at(line.rfind('}').unwrap());
            let field = written
                .strip_prefix(start)
                .and_then(|it| it.strip_suffix(rest));
            let field = field.and_then(|it| it.strip_prefix(",\"skew\":"));
            let skew: Value = serde_json::from_str(field.expect(written)).expect(written);
            assert!(skew.get("state").is_some(), "{written}");
            spliced += 1;
        }
    }
    assert!(spliced > 100 && passed > 1_000, "{spliced} {passed}");
}

#[test]
fn a_cut_at_any_byte_of_any_stream_is_no_verdict() {
    let mut dice = Dice::new(6);
    let each = 100;
    let asked = asked(&[]);
    for _ in 0..cases(1_000).div_ceil(each) {
        let whole = any_world(&mut dice).survey();
        for _ in 0..each {
            let cut = dice.roll(whole.trim_end().len());
            let mut text = Vec::new();
            let exit = run_asked(&asked, &whole.as_bytes()[..cut], &mut text);
            assert!(exit.is_err(), "cut at {cut} of {whole}");
            let text = String::from_utf8(text).unwrap();
            assert!(
                !text.contains("\"type\":\"verdict\""),
                "cut at {cut} of {whole}"
            );
        }
    }
}
