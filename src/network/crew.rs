//! The parts of the first layer and who works on them: the caller's thread, and others that keep their parts for all of a training.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use super::clock::Clock;
use super::first::Part;
use super::{Halt, Hands, Observe, Progress, Rows};

/// What a part is asked.
#[derive(Clone)]
pub(crate) enum Ask {
    /// What the rows of a batch come to.
    Meet(Arc<Vec<u32>>),
    /// The step that follows, along these slopes.
    Learn(Arc<Vec<f64>>),
    /// Weights brought up to now.
    Settle,
    /// What rows come to, once settled.
    Judge(Arc<Vec<u32>>),
    /// The weights.
    Weights,
}

type Told = Result<Vec<f64>, Halt>;

/// Somebody else's thread, and which parts it has.
struct Other {
    asks: Sender<(Ask, Progress, bool)>,
    tells: Receiver<Told>,
    parts: Vec<usize>,
}

pub(crate) struct Crew<'a> {
    x: &'a Rows,
    n_parts: usize,
    /// The caller's parts, with their places.
    own: Vec<(usize, Part)>,
    others: Vec<Other>,
}

impl<'a> Crew<'a> {
    /// Deals the parts out.
    pub(crate) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        x: &'a Rows,
        parts: Vec<Part>,
        hands: &Hands<'a>,
        observe: &'a Observe<'a>,
    ) -> Self
    where
        'a: 'scope,
    {
        let n_parts = parts.len();
        let threads = hands.threads.clamp(1, n_parts.max(1));
        let mut dealt: Vec<Vec<(usize, Part)>> = (0..threads).map(|_| Vec::new()).collect();
        for (place, part) in parts.into_iter().enumerate() {
            dealt[place % threads].push((place, part));
        }
        let mut dealt = dealt.into_iter();
        let own = dealt.next().unwrap_or_default();
        let others = dealt
            .map(|mut parts| {
                let ((asks, asked), (told, tells)) = (channel(), channel());
                let places = parts.iter().map(|(place, _)| *place).collect();
                let on_thread = hands.on_thread;
                scope.spawn(move || {
                    on_thread();
                    let mut clock = Clock::new(observe);
                    // ends when the crew is dropped
                    for (ask, progress, silent) in asked {
                        (clock.progress, clock.silent) = (progress, silent);
                        for (_, part) in &mut parts {
                            if told.send(answer(part, &ask, x, &mut clock)).is_err() {
                                return;
                            }
                        }
                    }
                });
                Other { asks, tells, parts: places }
            })
            .collect();
        Self { x, n_parts, own, others }
    }

    /// Asks all parts; what they tell, in their order.
    pub(crate) fn ask(&mut self, ask: &Ask, clock: &mut Clock) -> Result<Vec<Vec<f64>>, Halt> {
        for other in &self.others {
            // a thread that is gone has panicked, and the scope will say so
            let _ = other.asks.send((ask.clone(), clock.progress, clock.silent));
        }
        let mut all: Vec<Vec<f64>> = (0..self.n_parts).map(|_| Vec::new()).collect();
        let mut halted = None;
        for (place, part) in &mut self.own {
            match answer(part, ask, self.x, clock) {
                Ok(told) => all[*place] = told,
                Err(halt) => halted = Some(halt),
            }
        }
        // everybody's answer is awaited, so that the next question finds everybody ready
        for other in &self.others {
            for &place in &other.parts {
                match other.tells.recv() {
                    Ok(Ok(told)) => all[place] = told,
                    Ok(Err(halt)) => halted = Some(halt),
                    Err(_) => return Err(Halt::Discard),
                }
            }
        }
        halted.map_or(Ok(all), Err)
    }
}

fn answer(part: &mut Part, ask: &Ask, x: &Rows, clock: &mut Clock) -> Told {
    match ask {
        Ask::Meet(rows) => part.meet(x, rows, clock),
        Ask::Learn(slopes) => part.learn(slopes, clock).map(|()| Vec::new()),
        Ask::Settle => part.settle(0, clock).map(|()| Vec::new()),
        Ask::Judge(rows) => part.judge(x, rows, clock),
        Ask::Weights => part.weights(clock),
    }
}
