//! Runs stages of passes: order, verification, timing, numbering of patches, records for dumps.

use super::{Limits, Pass, PassContext, PassError};
use crate::ir::{Graph, NodeId};
use std::time::{Duration, Instant};

/// Whose text before and after is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Record {
    /// Nobody's.
    #[default]
    Nothing,
    /// That of every pass which changes something.
    All,
    /// That of the pass of this name.
    Only(String),
}

/// Knobs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassOptions {
    /// Verify the graph after every pass that changed it.
    pub verify: bool,
    /// Keep text before and after passes.
    pub record: Record,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Apply only this many patches.
    pub stop_after: Option<usize>,
    /// What passes may spend.
    pub limits: Limits,
}

impl Default for PassOptions {
    fn default() -> Self {
        PassOptions {
            verify: cfg!(debug_assertions),
            record: Record::Nothing,
            skip: vec![],
            stop_after: None,
            limits: Limits::default(),
        }
    }
}

/// An applied patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchRecord {
    /// Running number over the whole run, from 1.
    pub number: usize,
    /// What it did.
    pub text: String,
}

/// Why a pass left a node as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Node.
    pub node: NodeId,
    /// Its name in the model.
    pub name: String,
    /// Reason.
    pub why: String,
}

/// What one run of one pass did.
#[derive(Clone, Debug)]
pub struct PassRecord {
    /// Stage it ran in.
    pub stage: String,
    /// Name of the pass.
    pub pass: &'static str,
    /// Patches that it applied.
    pub patches: Vec<PatchRecord>,
    /// Nodes that it would have liked to change.
    pub refused: Vec<Remark>,
    /// Whether the graph changed.
    pub changed: bool,
    /// Time that it took.
    pub time: Duration,
    /// Text of the graph before, when asked for and changed.
    pub before: Option<String>,
    /// Text of the graph after, when asked for and changed.
    pub after: Option<String>,
}

/// An optimized graph and how it came about.
#[derive(Debug)]
pub struct Outcome {
    /// The graph.
    pub graph: Graph,
    /// Every run of a pass, in order.
    pub log: Vec<PassRecord>,
}

/// Passes that run in order, once or until nothing changes.
pub struct Stage<'a> {
    /// Name.
    pub name: &'a str,
    /// Most rounds; 1 for a stage that runs once.
    pub rounds: usize,
    /// Passes in order.
    pub passes: &'a [&'a dyn Pass],
}

/// A stage that runs once.
pub const fn once<'a>(name: &'a str, passes: &'a [&'a dyn Pass]) -> Stage<'a> {
    Stage { name, rounds: 1, passes }
}

/// A stage that repeats until a round changes nothing; still changing after `rounds` is an error.
pub const fn repeat<'a>(name: &'a str, rounds: usize, passes: &'a [&'a dyn Pass]) -> Stage<'a> {
    Stage { name, rounds, passes }
}

/// Runs `stages` in order.
pub fn run_stages(mut graph: Graph, stages: &[Stage<'_>], options: &PassOptions) -> Result<Outcome, PassError> {
    let mut cx = PassContext::new(&graph, options);
    let mut log = Vec::new();
    for stage in stages {
        run_stage(&mut graph, stage, &mut cx, &mut log)?;
    }
    Ok(Outcome { graph, log })
}

fn run_stage(
    graph: &mut Graph,
    stage: &Stage<'_>,
    cx: &mut PassContext<'_>,
    log: &mut Vec<PassRecord>,
) -> Result<(), PassError> {
    let mut rounds = 0;
    loop {
        rounds += 1;
        let mut last_change = None;
        for pass in stage.passes {
            if cx.options.skip.iter().any(|name| name == pass.name()) {
                continue;
            }
            let record = run_pass(graph, stage.name, *pass, cx)?;
            if record.changed {
                last_change = Some(record.pass);
            }
            log.push(record);
        }
        let Some(pass) = last_change else { return Ok(()) };
        if stage.rounds == 1 || cx.stopped() {
            return Ok(());
        }
        if rounds == stage.rounds {
            let patch = cx.next_patch - 1;
            return Err(PassError::Unsettled { stage: stage.name.to_owned(), rounds, pass, patch });
        }
    }
}

fn run_pass(
    graph: &mut Graph,
    stage: &str,
    pass: &dyn Pass,
    cx: &mut PassContext<'_>,
) -> Result<PassRecord, PassError> {
    let keep = match &cx.options.record {
        Record::Nothing => false,
        Record::All => true,
        Record::Only(name) => name == pass.name(),
    };
    let before = keep.then(|| graph.to_text());
    cx.pass = pass.name();
    cx.changed = false;
    let start = Instant::now();
    pass.run(graph, cx)?;
    if cx.changed {
        graph.drop_unread_weights();
    }
    let time = start.elapsed();
    if cx.options.verify && cx.changed {
        verify(graph, pass.name(), cx.next_patch - 1)?;
    }
    let changed = cx.changed;
    Ok(PassRecord {
        stage: stage.to_owned(),
        pass: pass.name(),
        patches: std::mem::take(&mut cx.patches),
        refused: std::mem::take(&mut cx.remarks),
        changed,
        time,
        before: before.filter(|_| changed),
        after: (keep && changed).then(|| graph.to_text()),
    })
}

fn verify(graph: &Graph, pass: &str, patch: usize) -> Result<(), PassError> {
    crate::ir::verify::verify(graph).map_err(|errors| PassError::Verify {
        pass: pass.to_owned(),
        patch,
        what: errors.to_string(),
    })
}
