//! A life from its seed: who does what, when, and what befalls them; then the faults stop, and every job must end.

use std::path::Path;

use crate::faults::Bug;
use crate::spec::{Answer, Holder, Request, Verb, Wish};
use crate::world::{Broken, Trace, World};

const PROJECTS: [&str; 2] = ["default", "other"];
const SECOND: i64 = 1_000_000;
const STEPS: usize = 70;

/// A thread of a process that works on one job at a time.
#[derive(Debug)]
struct Worker {
    process: usize,
    holds: Option<Holder>,
}

/// The people and processes of a life.
struct Cast {
    workers: Vec<Worker>,
    /// Boot number of each process.
    boots: [usize; 2],
    /// Claims whose holders stalled or were thought dead: they come back.
    zombies: Vec<Holder>,
    /// How likely each deed is in this life.
    weights: [usize; 14],
}

/// Lives the life of a seed.
pub(crate) async fn live(seed: u64, bug: Bug, data_dir: &Path, template: &Path, aloud: bool) -> Result<Trace, Broken> {
    let mut world = World::begin(seed, bug, data_dir, template, aloud).await;
    let mut cast = Cast::of(&mut world);
    for project in PROJECTS {
        world.step(&Verb::AddDataset { project, name: "d".into(), named: true }).await?;
    }
    for _ in 0..STEPS {
        cast.act(&mut world).await?;
    }
    world.sabotage = 0;
    cast.wind_up(&mut world).await?;
    world.step(&Verb::Sweep).await?;
    Ok(world.end().await)
}

impl Cast {
    /// Each seed has habits of its own: a deed that is rare in one life is all that happens in another.
    fn of(world: &mut World) -> Self {
        let workers = (0..1 + world.dice.below(4)).map(|at| Worker { process: at % 2, holds: None }).collect();
        let mut weights = [30, 40, 8, 4, 5, 4, 8, 3, 2, 2, 2, 1, 1, 12];
        for weight in &mut weights {
            *weight = *weight * [0, 1, 1, 1, 2, 4][world.dice.below(6)] + 1;
        }
        world.sabotage = [0, 4, 8, 20][world.dice.below(4)];
        Self { workers, boots: [0; 2], zombies: Vec::new(), weights }
    }

    fn owner(&self, process: usize) -> String {
        format!("boot_{process}.{}", self.boots[process])
    }

    async fn act(&mut self, world: &mut World) -> Result<(), Broken> {
        match world.dice.weighted(&self.weights) {
            0 => self.submit(world).await,
            1 => self.work(world).await,
            2 => self.haunt(world).await,
            3 => self.befall(world).await,
            4 => self.rescue(world, None).await,
            5 => self.crash(world).await,
            6 => self.with_a_job(world, |project, job| Verb::Cancel { project, job }).await,
            7 => self.with_a_job(world, |project, job| Verb::DeleteJob { project, job }).await,
            8 => self.change_datasets(world).await,
            9 => self.delete_model(world).await,
            10 => world.step(&Verb::Sweep).await.map(drop),
            11 => self.with_all(world, |project| Verb::CancelAll { project }).await,
            12 => self.with_all(world, |project| Verb::DeleteAll { project }).await,
            _ => {
                pass_time(world);
                Ok(())
            }
        }
    }

    /// A client submits, and when it hears nothing it submits again.
    async fn submit(&mut self, world: &mut World) -> Result<(), Broken> {
        let project = PROJECTS[world.dice.below(2)];
        let known: Vec<_> = world.spec.state.datasets.values().filter(|row| row.project == project).cloned().collect();
        let version = match world.dice.pick(&known) {
            Some(row) if !world.dice.chance(5) => row.version,
            _ => 1,
        };
        let verb = Verb::Enqueue(Request {
            project,
            dataset: "d".into(),
            version,
            model: format!("m{}", world.dice.below(2)),
            priority: world.dice.below(3) as i64,
            memory: [0, 10, 50, 90][world.dice.below(4)],
            within: world.dice.chance(20).then(|| [1, 2_000_000, 15_000_000][world.dice.below(3)]),
            key: world.dice.chance(40).then(|| format!("key {}", world.dice.below(6))),
        });
        if matches!(world.step(&verb).await?, Answer::Failed(_)) {
            world.step(&verb).await?;
        }
        Ok(())
    }

    /// A worker takes a job, proves life, or brings an ending; now and then it stalls or forgets.
    async fn work(&mut self, world: &mut World) -> Result<(), Broken> {
        let at = world.dice.below(self.workers.len());
        let owner = self.owner(self.workers[at].process);
        let Some(holder) = self.workers[at].holds.clone() else {
            let (total, free) = [(100, 100), (100, 40), (60, 60), (u64::MAX >> 1, u64::MAX >> 1)][world.dice.below(4)];
            return self.take(world, at, Verb::Claim { owner, total, free }).await;
        };
        match world.dice.below(10) {
            0 => {
                self.zombies.push(holder);
                self.workers[at].holds = None;
            }
            1..=5 => {
                let fraction = world.dice.below(100) as f64 / 100.0;
                if world.step(&Verb::Heartbeat { holder, fraction }).await? == Answer::Lost {
                    self.workers[at].holds = None;
                }
            }
            _ => {
                let wish = wish(world);
                // an ending that got no answer is brought again, later
                if !matches!(world.step(&Verb::Finish { holder, wish }).await?, Answer::Failed(_)) {
                    self.workers[at].holds = None;
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, world: &mut World, at: usize, claim: Verb) -> Result<(), Broken> {
        if let Answer::Claimed(job) = world.step(&claim).await? {
            let claim = world.spec.state.jobs[&job].claim;
            self.workers[at].holds = Some(Holder { job, claim });
        }
        Ok(())
    }

    /// Somebody who was thought dead writes all the same.
    async fn haunt(&mut self, world: &mut World) -> Result<(), Broken> {
        let everybody: Vec<Holder> = world.claims.keys().cloned().collect();
        let among = if world.dice.chance(50) { &self.zombies } else { &everybody };
        let Some(holder) = world.dice.pick(among).cloned() else { return Ok(()) };
        let verb = match world.dice.chance(40) {
            true => Verb::Heartbeat { holder, fraction: world.dice.below(100) as f64 / 100.0 },
            false => Verb::Finish { holder, wish: wish(world) },
        };
        world.step(&verb).await.map(drop)
    }

    /// The clock is set, or the whole server starts again.
    async fn befall(&mut self, world: &mut World) -> Result<(), Broken> {
        match world.dice.below(6) {
            0 => world.move_clock(3600 * SECOND),
            1 => world.move_clock(-3600 * SECOND),
            2 => world.move_clock(-SECOND),
            _ => {
                self.zombies.extend(self.workers.iter_mut().filter_map(|worker| worker.holds.take()));
                self.boots = self.boots.map(|boot| boot + 1);
                world.step(&Verb::Restart).await?;
            }
        }
        Ok(())
    }

    async fn rescue(&mut self, world: &mut World, dead: Option<String>) -> Result<(), Broken> {
        world.step(&Verb::Rescue { dead }).await.map(drop)
    }

    /// A process dies and comes back under another name; those who saw it may rescue its jobs at once.
    async fn crash(&mut self, world: &mut World) -> Result<(), Broken> {
        let process = world.dice.below(2);
        let dead = self.owner(process);
        let dying = self.workers.iter_mut().filter(|worker| worker.process == process);
        self.zombies.extend(dying.filter_map(|worker| worker.holds.take()));
        self.boots[process] += 1;
        if world.dice.chance(50) { self.rescue(world, Some(dead)).await } else { Ok(()) }
    }

    async fn with_a_job(&mut self, world: &mut World, verb: fn(&'static str, String) -> Verb) -> Result<(), Broken> {
        let jobs: Vec<_> = world.spec.state.jobs.values().map(|job| (job.project.clone(), job.id.clone())).collect();
        let Some((of, job)) = world.dice.pick(&jobs).cloned() else { return Ok(()) };
        // now and then somebody asks for a job of others
        let project = if world.dice.chance(5) { PROJECTS[world.dice.below(2)] } else { *PROJECTS.iter().find(|one| **one == of).unwrap() };
        let verb = verb(project, job);
        if matches!(world.step(&verb).await?, Answer::Failed(_)) && world.dice.chance(70) {
            world.step(&verb).await?;
        }
        Ok(())
    }

    async fn with_all(&mut self, world: &mut World, verb: fn(&'static str) -> Verb) -> Result<(), Broken> {
        let verb = verb(PROJECTS[world.dice.below(2)]);
        world.step(&verb).await.map(drop)
    }

    async fn change_datasets(&mut self, world: &mut World) -> Result<(), Broken> {
        let project = PROJECTS[world.dice.below(2)];
        let known: Vec<_> = world.spec.state.datasets.values().filter(|row| row.project == project).cloned().collect();
        let verb = match world.dice.pick(&known).cloned() {
            Some(row) if world.dice.chance(60) => Verb::DeleteDataset { project, name: row.name, version: row.version },
            _ => Verb::AddDataset { project, name: "d".into(), named: world.dice.chance(50) },
        };
        world.step(&verb).await.map(drop)
    }

    async fn delete_model(&mut self, world: &mut World) -> Result<(), Broken> {
        let project = PROJECTS[world.dice.below(2)];
        let known: Vec<_> = world.spec.state.models.values().filter(|row| row.project == project).cloned().collect();
        let Some(row) = world.dice.pick(&known).cloned() else { return Ok(()) };
        world.step(&Verb::DeleteModel { project, name: row.name, version: row.version }).await.map(drop)
    }

    /// Without faults every job ends, and in bounded time: a lease after the latest time ever shown, and a few seconds a job.
    async fn wind_up(&mut self, world: &mut World) -> Result<(), Broken> {
        let alive = |world: &World| world.spec.state.jobs.values().filter(|job| job.alive()).count() as i64;
        let bound = world.latest + world.spec.rules.lease + (alive(world) + 1) * 10 * SECOND;
        while alive(world) > 0 {
            if world.now() > bound {
                return Err(world.broken(vec![format!("{} jobs have not ended in time", alive(world))]));
            }
            self.rescue(world, None).await?;
            let mut idle = true;
            for at in 0..self.workers.len() {
                idle &= !self.go_on(world, at).await?;
            }
            // when all wait for a lease of somebody gone, or for a rest to be over, so do we
            let events = world.spec.state.jobs.values().filter(|job| job.alive()).map(|job| job.lease_until.unwrap_or(job.not_before));
            let next = if idle { events.min().unwrap_or(0) - world.now() } else { SECOND };
            world.move_clock(next.max(SECOND));
        }
        Ok(())
    }

    /// A worker without a care takes a job or ends the one it has; whether it had something to do.
    async fn go_on(&mut self, world: &mut World, at: usize) -> Result<bool, Broken> {
        let owner = self.owner(self.workers[at].process);
        if let Some(holder) = self.workers[at].holds.take() {
            world.step(&Verb::Finish { holder, wish: Wish::Succeed }).await?;
            return Ok(true);
        }
        let all = u64::MAX >> 1;
        self.take(world, at, Verb::Claim { owner, total: all, free: all }).await?;
        Ok(self.workers[at].holds.is_some())
    }
}

fn wish(world: &mut World) -> Wish {
    [Wish::Succeed, Wish::Succeed, Wish::Fail, Wish::Cancel, Wish::HandBack, Wish::Interrupt, Wish::Interrupt][world.dice.below(7)]
}

fn pass_time(world: &mut World) {
    let micros = [1, 1000, SECOND / 10, SECOND, 3 * SECOND, 11 * SECOND][world.dice.below(6)];
    world.move_clock(micros);
}
