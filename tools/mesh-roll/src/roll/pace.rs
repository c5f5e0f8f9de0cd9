//! When the next wave may begin, and how many workloads of it roll at the same time.

use mesh_cli::DryRun;
use mesh_cluster::workload::rollout::PodSeen;
use mesh_records::{
    Obstacle, Outcome, Progress, ProgressPods, Record, SkipClass, Step, StepName, StepState,
    Trouble, after, whole_seconds,
};

use super::decide::Decision;
use super::event::Action;
use super::evicting::is_whole;
use super::flight::Flight;
use super::item::Item;
use super::limits::Stop;
use super::order::Wave;
use super::state::Roll;
use super::waves::Gate;
use crate::canary::Canary;
use crate::wave_gate::WaveGate;

impl Roll {
    /// Returns the current wave: the wave of the first workload that is not finished. Those that wait
    /// for something of their own, or are only watched, hold up no later tier.
    pub(super) fn wave(&self) -> Option<Wave> {
        let mut waiting = self.waiting.values();
        let free = waiting.find(|item| {
            let held = item.held.as_ref();
            held.is_none_or(|held| held.hold.by_a_flight)
        });
        let flying = self.flying.iter();
        let (busy, watched): (Vec<&Flight>, Vec<&Flight>) =
            flying.partition(|flight| self.takes_slot(flight));
        let watched = watched.iter().map(|flight| &flight.item.rank.wave);
        let first = self.waiting.keys().next().map(|rank| &rank.wave);
        let first = first.into_iter().chain(watched).min();
        let busy = busy.into_iter().map(|flight| &flight.item);
        let next = busy.chain(free).map(|item| &item.rank.wave).min();
        let held = first.filter(|first| next.is_none_or(|next| self.holds_up(first, next)));
        held.or(next).cloned()
    }

    /// Returns true if a wave begins only when another is finished for good, as a gate is asked about
    /// each.
    pub(super) fn holds_up(&self, first: &Wave, next: &Wave) -> bool {
        first.holds_up(next) || self.settings.gate.is_some() && first < next
    }

    /// Returns how many workloads of a wave may roll at the same time: a gateway or an ingress rolls alone,
    /// also where one of an earlier wave comes back meanwhile.
    pub(super) fn slots(&self, wave: &Wave) -> usize {
        let flying = self.flying.iter().map(|flight| &flight.item);
        let mut ranks = self
            .waiting
            .keys()
            .chain(flying.clone().map(|item| &item.rank));
        let is_here = ranks.any(|rank| rank.wave == *wave && rank.is_door);
        let mut ours = flying.filter(|item| !item.is_anothers);
        match is_here || ours.any(|item| item.rank.is_door) {
            true => 1,
            false => self.settings.max_in_flight,
        }
    }

    /// Returns true if workloads of this wave may be started now. The canaries must be proven, and
    /// have stayed ready for `--settle`, before anything else is started; then a gate must agree.
    pub(super) fn opens(&mut self, wave: &Wave) -> bool {
        let begun = self.pace.begun.as_ref();
        if begun.is_some_and(|begun| begun >= wave) {
            return true;
        }
        // The canaries' wave begins by itself where they are rolling out already.
        let has_canaries = self.pace.waves.first() == Some(&Wave::Canary);
        let is_first = begun.is_none_or(|begun| *begun == Wave::Canary);
        let is_after_canary = has_canaries && is_first && *wave != Wave::Canary;
        let is_dry = self.settings.dry_run != DryRun::None;
        if is_after_canary && !is_dry && !self.has_settled() {
            return false;
        }
        if !is_dry && !self.passes_gate() {
            return false;
        }
        self.pace.gate = Gate::Closed;
        self.pace.begun = Some(wave.clone());
        self.say_wave(wave);
        true
    }

    // Asks the gate once between two waves, if anything has ended since it was asked last; before the
    // first one too, if an earlier run may have stopped at the gate.
    fn passes_gate(&mut self) -> bool {
        match (self.pace.gate, self.settings.gate.clone()) {
            (Gate::Asked(_), _) => false,
            (Gate::Open | Gate::Closed, None) => true,
            // What ends while it is asked, it has not seen.
            (Gate::Open | Gate::Closed, Some(_)) if self.pace.ended.is_empty() => true,
            (Gate::Open | Gate::Closed, Some(gate)) => {
                self.say_gate(StepState::Started, None);
                let ended = std::mem::take(&mut self.pace.ended);
                self.pace.gate = Gate::Asked(self.now);
                self.out.push(Action::Gate(gate, ended));
                false
            }
        }
    }

    pub(super) fn gated(&mut self, answer: Result<String, String>) {
        match answer {
            Ok(said) => {
                self.say_gate(StepState::Done, Some(&said).filter(|said| !said.is_empty()));
                self.pace.gate = Gate::Open;
            }
            Err(why) => {
                self.say_gate(StepState::Failed, Some(&why));
                self.pace.gate = Gate::Closed;
                self.stop(Stop::Gate(why));
            }
        }
    }

    fn say_gate(&mut self, state: StepState, said: Option<&String>) {
        let Some(command) = self.settings.gate.as_ref().map(WaveGate::said) else {
            return;
        };
        let how = match state {
            StepState::Started => "asking the gate",
            StepState::Done => "the gate agrees",
            StepState::Failed | StepState::Skipped => "the gate does not agree",
        };
        let begun = self.pace.begun.as_ref();
        let number = begun.and_then(|wave| self.number(wave));
        let of = self.pace.waves.len();
        let place = match number {
            Some(number) => format!("after wave {number} of {of}"),
            None => "before the first wave".to_owned(),
        };
        let said = said.map_or(String::new(), |said| format!(": {said}"));
        let since = match self.pace.gate {
            Gate::Asked(since) => Some(since),
            Gate::Closed | Gate::Open => None,
        };
        let took = since.map(|since| self.now.duration_since(since).as_millis());
        self.emit(Record::Step(Box::new(Step {
            cluster: self.settings.cluster.clone(),
            run: None,
            time: whole_seconds(self.now),
            message: format!("{how} {place}{said}"),
            step: StepName::WaveGate,
            state,
            reason: None,
            hint: None,
            command,
            duration_ms: took.and_then(|took| took.try_into().ok()),
        })));
    }

    fn has_settled(&mut self) -> bool {
        let canaries = self.over.values().filter(|item| item.is_canary());
        let proven = canaries.filter(|item| item.outcome == Some(Outcome::Proven));
        let (watched, left): (Vec<&Item>, Vec<&Item>) = proven.partition(|it| it.vigil.is_some());
        if let Some(left) = left.first() {
            let key = &left.task.key;
            let why = format!("the canary {key} was changed by somebody else");
            self.stop(Stop::Canary(why));
            return false;
        }
        let is_short = watched.iter().any(|item| item.is_short());
        let number = watched.len();
        let Some(last) = self.last_proof.filter(|_| number > 0) else {
            let why = "no canary was restarted and proven".to_owned();
            self.stop(Stop::Canary(why));
            return false;
        };
        let until = after(last, self.settings.settle);
        if self.now >= until {
            return !is_short;
        }
        self.wake_at(until);
        if !std::mem::replace(&mut self.pace.said_settling, true) {
            let left = until.duration_since(self.now).as_secs();
            let many = if number == 1 { "canary" } else { "canaries" };
            let message = format!(
                "watching {number} {many} for {left}s (--settle) before the next wave begins"
            );
            self.say(message, ProgressPods::default());
        }
        false
    }

    /// Stops the run if a canary ended in another way than well.
    pub(super) fn check_canary(&mut self, item: &Item, reason: Option<Trouble>) {
        let how = match item.outcome {
            Some(Outcome::Failed) => "failed",
            Some(Outcome::Blocked) => "is blocked",
            Some(Outcome::Interrupted) => "was left before its end",
            Some(Outcome::Superseded) if reason != Some(Trouble::NoPods) => {
                "was changed by somebody else"
            }
            Some(Outcome::Proven | Outcome::Gone | Outcome::Superseded) | None => return,
        };
        if item.is_canary() {
            let key = &item.task.key;
            self.stop(Stop::Canary(format!("the canary {key} {how}")));
        }
    }

    /// Moves the canaries of a plan to the front. Returns why one that was asked for by its name
    /// cannot begin, or is current and unhealthy.
    pub(super) fn choose_canaries(&self, plan: &mut [(Item, Decision)]) -> Option<String> {
        let canary = self.settings.canary.as_ref()?;
        let is_roll = |decision: &Decision| matches!(decision, Decision::Roll(_));
        let rolls = plan.iter().filter(|(_, decision)| is_roll(decision));
        let most = canary.most(rolls.count()).unwrap_or(usize::MAX);
        let mut chosen = 0;
        let is_meant = |item: &Item, decision: &Decision, chosen: usize| match canary {
            Canary::First(_) | Canary::Percent(_) => is_roll(decision) && chosen < most,
            Canary::Those(selector) => selector.selects(&item.task.key),
        };
        let is_named = matches!(canary, Canary::Those(_));
        let is_other = |(item, decision): &(Item, Decision)| {
            !matches!(decision, Decision::Skip(_)) && !is_meant(item, decision, 0)
        };
        // Without others nothing comes after the canaries.
        let has_others = is_named && plan.iter().any(is_other);
        let (mut hindered, mut expected, mut is_current) = (None, None, false);
        for (item, decision) in plan {
            if !is_meant(item, decision, chosen) {
                continue;
            }
            match decision {
                // An earlier run may have restarted it and seen it fail.
                Decision::Skip(Obstacle::Current) if is_named && !self.is_whole(item) => {
                    let unhealthy = Obstacle::WorkloadUnhealthy.sentence();
                    hindered = Some(format!("{} {unhealthy}", item.task.key));
                }
                Decision::Skip(Obstacle::Current) => is_current = true,
                Decision::Skip(obstacle) => {
                    let why = Some(format!("{} {}", item.task.key, obstacle.sentence()));
                    match attends(*obstacle) {
                        true => hindered = why,
                        false => expected = why,
                    }
                }
                // Only a canary that is named is meant.
                Decision::Later(_) => {
                    let unhealthy = Obstacle::WorkloadUnhealthy.sentence();
                    hindered = Some(format!("{} {unhealthy}", item.task.key));
                }
                Decision::Roll(_) | Decision::Adopt => {
                    item.rank.wave = Wave::Canary;
                    chosen += 1;
                }
            }
        }
        let expected = expected.filter(|_| chosen == 0 && !is_current);
        hindered.or(expected).filter(|_| has_others)
    }

    fn is_whole(&self, item: &Item) -> bool {
        let key = &item.task.key;
        let pods: Vec<&PodSeen> = self.world.pods(key).collect();
        let observed = self.world.workload(key);
        observed.is_some_and(|observed| is_whole(observed, &pods))
    }

    /// Returns the number of a wave, from 1.
    pub(super) fn number(&self, wave: &Wave) -> Option<u32> {
        let mut waves = (1..).zip(&self.pace.waves);
        let (number, _) = waves.find(|(_, it)| *it == wave)?;
        Some(number)
    }

    fn say_wave(&mut self, wave: &Wave) {
        let of = self.pace.waves.len();
        let Some(number) = self.number(wave).filter(|_| of > 1) else {
            return;
        };
        let title = wave.title(self.settings.group_by.as_deref());
        let mut pods = ProgressPods::default();
        for item in self.waiting.values().filter(|it| it.rank.wave == *wave) {
            let of_one = self.counts(&item.task.key);
            pods.wanted = pods.wanted.saturating_add(of_one.wanted);
            pods.updated = pods.updated.saturating_add(of_one.updated);
            pods.ready = pods.ready.saturating_add(of_one.ready);
        }
        self.say(format!("wave {number} of {of}: {title}"), pods);
    }

    pub(super) fn say(&mut self, message: String, pods: ProgressPods) {
        self.emit(Record::Progress(Box::new(Progress {
            cluster: self.settings.cluster.clone(),
            run: None,
            time: whole_seconds(self.now),
            message,
            of: None,
            pods,
            reason: None,
        })));
    }
}

fn attends(obstacle: Obstacle) -> bool {
    obstacle.class() == SkipClass::Attention
}
