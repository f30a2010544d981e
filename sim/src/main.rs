//! `parpen-sim`: runs seeds until one fails, and tells the story of the one that does.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use parpen_base::SystemClock;
use parpen_engine::Sound;
use parpen_sim::history::run;
use parpen_sim::mutants::MUTANTS;
use parpen_sim::profile::Profile;
use parpen_sim::sweep::{Plan, Report, Run, sweep};

/// A fifth of the time goes to allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: parpen-sim [--profile NAME|all] [--seeds A..B] [--seconds S] [--jobs N] [--without RULE] [--keep-going]
       parpen-sim --profile NAME --seed N [--trace] [--without RULE]
       parpen-sim --corpus FOLDER";

struct Options {
    profiles: Vec<Profile>,
    from: u64,
    to: u64,
    seconds: Option<u64>,
    jobs: usize,
    one: Option<u64>,
    trace: bool,
    keep_going: bool,
    run: Run,
    /// Write the seeds of the fuzz targets there, and nothing else.
    corpus: Option<PathBuf>,
    /// A mutant names the profile that shows it best.
    best: Option<Profile>,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut o = Options {
        profiles: Vec::new(),
        from: 0,
        to: u64::MAX,
        seconds: None,
        jobs: 1,
        one: None,
        trace: false,
        keep_going: false,
        run: run::<Sound>,
        best: None,
        corpus: None,
    };
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--trace" => o.trace = true,
            "--keep-going" => o.keep_going = true,
            _ => {
                let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
                option(&mut o, &flag, &value)?;
            }
        }
    }
    if o.profiles.is_empty() {
        o.profiles = vec![o.best.unwrap_or(Profile::Crash)];
    }
    Ok(o)
}

fn option(o: &mut Options, flag: &str, value: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
    match flag {
        "--profile" if value == "all" => o.profiles = Profile::ALL.to_vec(),
        "--profile" => {
            let names = || Profile::ALL.map(Profile::name).join(", ");
            let profile =
                Profile::named(value).ok_or_else(|| format!("the profiles are {}, all", names()))?;
            o.profiles.push(profile);
        }
        "--seeds" => {
            let (from, to) = value.split_once("..").ok_or("seeds are written A..B")?;
            (o.from, o.to) = (number(from)?, number(to)?);
        }
        "--seconds" => o.seconds = Some(number(value)?),
        "--jobs" => o.jobs = number(value)?.clamp(1, 1024) as usize,
        "--corpus" => o.corpus = Some(value.into()),
        "--seed" => o.one = Some(number(value)?),
        "--without" => {
            let names = || MUTANTS.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
            let mutant = MUTANTS.iter().find(|m| m.name == value);
            let mutant = mutant.ok_or_else(|| format!("the rules are {}", names()))?;
            (o.run, o.best) = (mutant.run, Some(mutant.profile));
        }
        _ => return Err(format!("{flag} is no option")),
    }
    Ok(())
}

fn tell(run: Run, seed: u64, profile: Profile) -> bool {
    let outcome = run(seed, profile, true);
    outcome.lines.iter().for_each(|line| println!("{line}"));
    match &outcome.failure {
        Some(failure) => println!("seed {seed}, profile {}: {failure}", profile.name()),
        None => println!("seed {seed}, profile {}: sound; digest {:016x}", profile.name(), outcome.digest),
    }
    outcome.failure.is_none()
}

fn show(profile: Profile, from: u64, report: &Report) {
    let t = &report.tally;
    println!(
        "{:12} {} histories from seed {from}: {} answers, {} disk requests, {} power cuts, {} recoveries, \
         {} refusals, {} errors, {} unreadable, {} failures",
        profile.name(),
        report.histories,
        t.answers,
        t.disk_steps,
        t.crashes,
        t.recoveries,
        t.refusals,
        t.errors,
        t.unreadable,
        report.failures.len(),
    );
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Some(folder) = &options.corpus {
        return match parpen_sim::corpus::write(folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    // A panic of the engine is a failure that the report tells; the hook would tell it once more, in between.
    std::panic::set_hook(Box::new(|_| {}));
    let clock = SystemClock::new();
    let mut sound = true;
    for profile in &options.profiles {
        if let Some(seed) = options.one {
            sound &= if options.trace {
                tell(options.run, seed, *profile)
            } else {
                quiet(&options, seed, *profile)
            };
            continue;
        }
        let plan = Plan {
            run: options.run,
            profile: *profile,
            from: options.from,
            to: options.to,
            limit: options.seconds.map(Duration::from_secs),
            jobs: options.jobs,
            clock: &clock,
            keep_going: options.keep_going,
        };
        let report = sweep(&plan, |report| show(*profile, options.from, report));
        show(*profile, options.from, &report);
        for (seed, failure) in report.failures.iter().take(20) {
            println!("seed {seed}: {failure}");
        }
        sound &= report.failures.is_empty();
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn quiet(options: &Options, seed: u64, profile: Profile) -> bool {
    let outcome = (options.run)(seed, profile, false);
    println!("seed {seed}, profile {}: {}", profile.name(), outcome.failure.as_deref().unwrap_or("sound"));
    outcome.failure.is_none()
}
