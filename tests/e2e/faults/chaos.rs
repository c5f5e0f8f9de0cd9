//! Chaos: in many worlds, runs of `mesh-roll` meet faults of the network, broken parts of the
//! cluster, changes by others and signals, all from one seed.
//!
//! Some worlds are played in every run of the tests; `MESH_TEST_CHAOS=300` plays so many, and
//! `MESH_TEST_CHAOS=17..18` those seeds.

mod acts;
mod oracle;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use std::sync::Mutex;

use mesh_dice::Dice;
use mesh_testbed::Victim;
use mesh_tests::{Toolbox, toolbox};

use self::acts::{Act, Broken, faults};
use self::oracle::Stream;
use self::world::World;
use crate::fleet::{NEW, forget_lock};
use crate::run::{Ran, run, watch};
use crate::tally::alone;

const ASKED: &str = "MESH_TEST_CHAOS";
const FEW: u64 = 12;
/// What happens in those few worlds.
const HAPPENINGS: &str = "Controllers Kubelets Injector Node Restart Spoil Pause Scale Delete Recreate \
    Configure Compact Terminate Kill";
const LANES: usize = 4;
/// How often a run without faults may be repeated until nothing is left to do.
const CALM: usize = 4;

#[test]
fn in_every_chaos_the_limits_hold_and_the_next_runs_finish() {
    let _alone = alone();
    let tools = toolbox!();
    let (seeds, census) = (Mutex::new(seeds()), Mutex::new(BTreeMap::new()));
    let complaints = Mutex::new(Vec::<String>::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let next = || seeds.lock().unwrap().next();
                while let Some(seed) = next() {
                    let mut lane = Lane::new(&tools, seed);
                    let complaint = lane.live().err();
                    complaints.lock().unwrap().extend(complaint);
                    for (what, times) in lane.census {
                        *census.lock().unwrap().entry(what).or_insert(0) += times;
                    }
                }
            });
        }
    });
    let (census, complaints) = (
        census.into_inner().unwrap(),
        complaints.into_inner().unwrap(),
    );
    println!("chaos: {census:?}");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    // Checks that the worlds were varied enough, unless some were asked for.
    if std::env::var_os(ASKED).is_none() {
        let unseen = HAPPENINGS
            .split_whitespace()
            .find(|it| !census.contains_key(*it));
        assert_eq!(unseen, None, "it never happened: {census:?}");
    }
}

fn seeds() -> Range<u64> {
    let Some(asked) = std::env::var_os(ASKED) else {
        return 0..FEW;
    };
    let asked = asked.into_string().unwrap();
    let (from, to) = asked.split_once("..").unwrap_or(("0", &asked));
    from.parse().unwrap()..to.parse().unwrap()
}

/// One world, and the runs in it.
struct Lane<'a> {
    tools: &'a Toolbox,
    seed: u64,
    dice: Dice,
    world: World,
    /// How often each kind of thing happened.
    census: BTreeMap<String, usize>,
}

type Checked = Result<(), String>;

impl<'a> Lane<'a> {
    fn new(tools: &'a Toolbox, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            tools,
            seed,
            world: World::new(&mut dice),
            dice,
            census: BTreeMap::new(),
        }
    }

    /// Makes some runs with chaos, and then runs without until nothing is left to do.
    fn live(&mut self) -> Checked {
        let mut judged = self.judged();
        for _ in 0..=self.dice.roll(3) {
            self.run_in_chaos(&judged)?;
            // Half of the runs go on from what was judged before.
            if self.dice.once_in(2) {
                judged = self.judged();
            }
        }
        self.world.take_back_changes();
        self.world.until_whole();
        self.settle()?;
        self.finished()?;
        let unknown = self.world.bed.as_lab().unwrap().unknown();
        match &*unknown {
            [] => Ok(()),
            unknown => Err(self.named(&format!("the lab knows not {unknown:?}"))),
        }
    }

    /// Names the seed with what was wrong.
    fn named(&self, wrong: &str) -> String {
        format!("seed {}: {wrong}", self.seed)
    }

    fn judged(&self) -> String {
        let mut judge = self.tools.shell("mesh-survey | mesh-skewcheck --ask roll");
        judge.env("KUBECONFIG", self.world.bed.kubeconfig());
        let judged = run(judge, "", &Victim::default());
        assert_eq!(
            judged.code,
            Some(0),
            "seed {}: {}{}",
            self.seed,
            judged.summary(),
            judged.stdout
        );
        judged.run.stdout
    }

    fn roll(&self, flags: &[String]) -> Command {
        let mut command = self.tools.run("mesh-roll");
        command.args(["--yes", "--allow-outage", "*", "--allow-budget", "*"]);
        command.args(["--request-timeout", "2s"]);
        command.args(flags);
        command
    }

    fn run_in_chaos(&mut self, judged: &str) -> Checked {
        let proxy = self.world.bed.proxy().unwrap();
        let client = Victim::default();
        let faults = faults(&mut self.dice);
        let kills = faults.iter().any(|(_, harm)| harm.kills());
        for (request, harm) in faults {
            self.count(format!("{harm:?}"));
            harm.befall(proxy.on(request), &client);
        }
        let acts = Act::some(&mut self.dice, self.world.bodies.len());
        let kills = kills || acts.iter().any(|(_, act)| act.kills());
        let (most, max_failures) = (1 + self.dice.roll(4), self.dice.roll(3));
        let mut flags = vec!["--timeout=5s".to_owned(), "--deadline=30s".to_owned()];
        flags.push(format!("--max-in-flight={most}"));
        flags.push(format!("--max-failures={max_failures}"));
        flags.push(format!("--settle={}ms", self.dice.pick(&[0, 0, 300])));
        if self.dice.once_in(4) {
            flags.push("--canary=1".to_owned());
        }
        let mut command = self.roll(&flags);
        command.env("KUBECONFIG", proxy.kubeconfig());
        let before = self.world.written().len();
        let mut stream = Stream::new(most, max_failures);
        let ran = self.played(command, judged, &client, acts, &mut stream);
        self.count(format!("exit {:?}", ran.code));
        self.check(&ran, &[0, 1, 2, 3], kills, (&stream, before))
    }

    /// Checks a run that came after so many writes.
    fn check(
        &self,
        ran: &Ran,
        codes: &[i32],
        kills: bool,
        (stream, before): (&Stream, usize),
    ) -> Checked {
        forget_lock(&self.world.bed);
        let wrong = ran.misconduct(codes, kills);
        let wrong = wrong.or_else(|| stream.wrong(&self.world, &self.world.written()[before..]));
        let wrong = wrong.or_else(|| self.world.lie(&ran.of("rolled")));
        match wrong.or_else(|| self.world.needless()) {
            None => Ok(()),
            Some(wrong) => Err(self.named(&format!("{wrong}\n{}\n{}", ran.summary(), ran.stdout))),
        }
    }

    /// Runs to the end while the acts happen; all that they broke is mended then.
    fn played(
        &mut self,
        command: Command,
        judged: &str,
        client: &Victim,
        acts: Vec<(usize, Act)>,
        stream: &mut Stream,
    ) -> Ran {
        let Self { world, census, .. } = self;
        let mut acts = acts.into_iter().peekable();
        let mut broken: Vec<(usize, Broken)> = Vec::new();
        let mut number = 0;
        let ran = watch(command, judged, client, |pid, record| {
            number += 1;
            stream.see(world, record);
            let (due, left) = broken.drain(..).partition(|(until, _)| *until <= number);
            broken = left;
            let due: Vec<(usize, Broken)> = due;
            due.into_iter().for_each(|(_, broken)| world.mend(broken));
            // A run that has said its end is over.
            let is_over = record["type"] == "end";
            while let Some((_, act)) = acts.next_if(|(at, _)| *at <= number && !is_over) {
                *census.entry(act.name().to_owned()).or_default() += 1;
                let new = world.perform(act, pid);
                broken.extend(new.map(|broken| (number + act.lasts(), broken)));
            }
        });
        broken
            .into_iter()
            .for_each(|(_, broken)| world.mend(broken));
        ran
    }

    fn count(&mut self, what: String) {
        *self.census.entry(what).or_default() += 1;
    }

    /// Runs without chaos until a run has nothing to do. What a run leaves to a person is done here
    /// as it says.
    fn settle(&mut self) -> Checked {
        let (mut last, mut strategy) = (String::new(), "auto");
        for _ in 0..CALM {
            let flags = ["--settle=0s", "--fail-on=attention", "--strategy", strategy];
            let mut command = self.roll(&flags.map(str::to_owned));
            command.env("KUBECONFIG", self.world.bed.kubeconfig());
            let before = self.world.written().len();
            // One at a time, and none may fail.
            let mut stream = Stream::new(1, 0);
            let ran = watch(command, &self.judged(), &Victim::default(), |_, record| {
                stream.see(&self.world, record);
            });
            self.check(&ran, &[0, 1, 3], false, (&stream, before))?;
            if ran.code == Some(0) && self.world.written().len() == before {
                return Ok(());
            }
            for skipped in ran.of("skipped") {
                let reference = skipped["ref"].as_str().unwrap();
                match skipped["reason"].as_str() {
                    // Somebody changed its template.
                    Some("on-delete") => strategy = "evict",
                    Some("unmeshed-but-annotated") if !self.world.lacked_proxies => {
                        return Err(self.named(&format!("it has proxies: {skipped}")));
                    }
                    Some("unmeshed-but-annotated") => self.world.delete_pods(reference),
                    _ => {}
                }
            }
            self.world.until_whole();
            last = format!("{}\n{}", ran.summary(), ran.stdout);
        }
        Err(self.named(&format!("it does not come to an end: {last}")))
    }

    fn finished(&mut self) -> Checked {
        if let Some(wrong) = self.world.unfinished() {
            return Err(self.named(&wrong));
        }
        let asked = format!("mesh-survey | mesh-skewcheck --ask done --to {NEW}");
        let mut ask = self.tools.shell(&asked);
        ask.env("KUBECONFIG", self.world.bed.kubeconfig());
        let done = run(ask, "", &Victim::default());
        if done.code == Some(0) {
            return Ok(());
        }
        let said = format!("it is not done: {}\n{}", done.summary(), done.stdout);
        Err(self.named(&said))
    }
}
