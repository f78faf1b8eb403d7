//! Child processes that run cases, and the side of the parent: numbers of cases go in, lines of JSON come out. A child that
//! ends or does not answer in time is a crash of its case, and is replaced.

use super::report::{Code, Record};
use super::{Args, case};
use crate::cli::common::{Progress, Stop};
use brolga_frontend::conformance::{Case, Verdict, is_random};
use brolga_runner::Failure;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The child's side.
pub fn serve(args: &Args, cases: &[Case], out: &mut dyn Write) -> Result<(), Stop> {
    for line in std::io::stdin().lines() {
        let at: Option<usize> = line?.trim().parse().ok();
        let Some(case) = at.and_then(|at| cases.get(at)) else {
            return Err(Failure::usage("a worker takes numbers of cases on standard input").into());
        };
        let record = case::run(args, case);
        let text = serde_json::to_string(&record).map_err(|error| Failure::bug(error.to_string()))?;
        writeln!(out, "{text}")?;
        out.flush()?;
    }
    Ok(())
}

/// A child.
struct Worker {
    process: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Worker {
    fn start(args: &Args) -> Result<Worker, Failure> {
        let failed = |e: std::io::Error| Failure::machine(format!("a child process cannot be started: {e}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("test-suite").arg(&args.folder).arg("--worker");
        command.args(["--filter", &args.filter, "--threads", &args.threads.to_string()]);
        if args.evaluator {
            command.arg("--evaluator");
        }
        if args.skip_passes {
            command.arg("--skip-passes");
        }
        if let Some(level) = args.cpu {
            command.args(["--cpu", &level.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(failed)?;
        let (Some(orders), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Failure::bug("a child process has no pipes"));
        };
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Worker { process, orders, answers })
    }

    /// The record of a case, or what happened to the child instead.
    fn run(&mut self, at: usize, timeout: Duration) -> Result<Record, String> {
        let sent = writeln!(self.orders, "{at}").and_then(|()| self.orders.flush());
        let answer = sent.map_err(|_| RecvTimeoutError::Disconnected).and_then(|()| self.answers.recv_timeout(timeout));
        match answer {
            Ok(line) => serde_json::from_str(&line).map_err(|e| format!("the child answered {line:?}: {e}")),
            Err(RecvTimeoutError::Timeout) => Err(format!("no answer within {} s", timeout.as_secs())),
            Err(RecvTimeoutError::Disconnected) => Err(match self.process.wait() {
                Ok(status) => format!("the process ended: {status}"),
                Err(e) => format!("the process ended: {e}"),
            }),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs every case; records are in the order of the cases.
pub fn run_all(args: &Args, cases: &[Case], progress: &Progress) -> Result<Vec<Record>, Failure> {
    let jobs = if args.jobs > 0 { args.jobs } else { brolga_runtime::default_threads().get() };
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || -> Result<Vec<(usize, Record)>, Failure> {
        let (mut worker, mut records) = (Worker::start(args)?, Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(at) else { return Ok(records) };
            let record = match worker.run(at, Duration::from_secs(args.timeout)) {
                Ok(record) => record,
                Err(what) => {
                    worker = Worker::start(args)?;
                    crash(case, what)
                }
            };
            records.push((at, record));
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.say(format!("{done} of {} cases", cases.len()));
        }
    };
    let mut all = Vec::with_capacity(cases.len());
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..jobs.clamp(1, cases.len().max(1))).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            match handle.join() {
                Ok(records) => all.extend(records?),
                Err(_) => return Err(Failure::bug("a thread that waits for child processes stopped")),
            }
        }
        Ok(())
    })?;
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, record)| record).collect())
}

fn crash(case: &Case, reason: String) -> Record {
    Record {
        suite: case.suite.clone(),
        name: case.name.clone(),
        verdict: Verdict::Crash,
        reason,
        code: Code::None,
        random: is_random(&case.name),
        operators: Vec::new(),
        types: Vec::new(),
        milliseconds: 0,
    }
}
