//! Three boxes, one API server, and a bad network.

use proptest::prelude::*;

use super::*;

/// A step of the world.
const STEP_MS: u64 = 100;

#[derive(Clone, Debug)]
struct Weather {
    /// Of 100 messages, how many are lost.
    loss: u64,
    delay_ms_max: u64,
    /// Of 1000 steps, how many begin a pause of a box, of up to `pause_ms_max`.
    pause: u64,
    pause_ms_max: u64,
    /// Of 1000 steps, how many restart a box, half of them after it released.
    restart: u64,
}

#[derive(Clone, Debug)]
struct Clock {
    /// Per cent of true time.
    rate: u64,
    offset_ms: u64,
    /// Its wall clock stands still.
    is_frozen: bool,
}

impl Clock {
    fn monotonic(&self, now_ms: u64) -> Duration {
        Duration::from_micros((now_ms * self.rate) * 10 + self.offset_ms * 1000)
    }

    /// Only differs or does not: nobody may read it.
    fn utc(&self, now_ms: u64) -> String {
        let shown = if self.is_frozen { 0 } else { now_ms * self.rate / 100 };
        format!("{}", shown + self.offset_ms)
    }
}

#[derive(Debug, Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
}

impl Server {
    fn answer(&mut self, action: &Action) -> Answer {
        let body = match action {
            Action::Get(_) => {
                return self.lease.clone().map_or(Answer::NotFound, Answer::Lease);
            }
            Action::Create(..) if self.lease.is_some() => return Answer::Conflict,
            Action::Create(_, body) | Action::Update(_, body) => body,
            Action::Wait(_) => unreachable!(),
        };
        if let (Action::Update(..), Some(lease)) = (action, &self.lease) {
            if body["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] {
                return Answer::Conflict;
            }
            if body["spec"] == lease["spec"] {
                return Answer::Lease(lease.clone());
            }
        }
        self.version += 1;
        let mut stored = body.clone();
        stored["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(stored.clone());
        Answer::Lease(stored)
    }
}

#[derive(Debug)]
enum Message {
    Question(usize, Action),
    Answer(usize, Ticket, Answer),
}

#[derive(Debug)]
struct World {
    now_ms: u64,
    random: u64,
    server: Server,
    clocks: Vec<Clock>,
    boxes: Vec<Candidate>,
    /// A restarted box has another identity, and hears nothing that the one before had asked.
    runs: Vec<u64>,
    paused_until: Vec<u64>,
    mail: Vec<(u64, u64, Message)>,
    led_ms: u64,
}

impl World {
    fn new(clocks: Vec<Clock>, seed: u64) -> Self {
        let boxes = (0..clocks.len()).map(|i| candidate(&format!("box-{i}.0"))).collect();
        let (runs, paused_until) = (vec![0; clocks.len()], vec![0; clocks.len()]);
        let (server, mail) = (Server::default(), Vec::new());
        let random = seed | 1;
        Self { now_ms: 0, random, server, clocks, boxes, runs, paused_until, mail, led_ms: 0 }
    }

    /// xorshift64: a weather of its own for each seed.
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    fn post(&mut self, weather: &Weather, run: u64, message: Message) {
        if self.draw(100) >= weather.loss {
            let at = self.now_ms + self.draw(weather.delay_ms_max);
            self.mail.push((at, run, message));
        }
    }

    fn deliver(&mut self, weather: &Weather) {
        let due = self.mail.iter().enumerate().filter(|(_, (at, ..))| *at <= self.now_ms);
        let due: Vec<usize> = due.map(|(i, _)| i).collect();
        for i in due.into_iter().rev() {
            let (_, run, message) = self.mail.swap_remove(i);
            match message {
                Message::Question(who, action) => {
                    let answer = self.server.answer(&action);
                    let (Action::Get(ticket)
                    | Action::Create(ticket, _)
                    | Action::Update(ticket, _)) = action
                    else {
                        unreachable!()
                    };
                    self.post(weather, run, Message::Answer(who, ticket, answer));
                }
                Message::Answer(who, ..) if self.paused_until[who] > self.now_ms => {
                    self.mail.push((self.paused_until[who], run, message));
                }
                Message::Answer(who, ticket, answer) if run == self.runs[who] => {
                    let now = self.clocks[who].monotonic(self.now_ms);
                    self.boxes[who].observe(ticket, answer, now);
                }
                Message::Answer(..) => {}
            }
        }
    }

    fn disturb(&mut self, weather: &Weather, who: usize) {
        if self.draw(1000) < weather.pause {
            self.paused_until[who] = self.now_ms + self.draw(weather.pause_ms_max);
        }
        if self.draw(1000) < weather.restart {
            if self.draw(2) == 0 {
                self.boxes[who].release();
                return;
            }
            self.runs[who] += 1;
            self.boxes[who] = candidate(&format!("box-{who}.{}", self.runs[who]));
        }
    }

    /// Runs for so long; the number of leaders is looked at in every step.
    fn run(&mut self, weather: &Weather, for_ms: u64) -> Result<(), TestCaseError> {
        let until = self.now_ms + for_ms;
        while self.now_ms < until {
            self.deliver(weather);
            for who in 0..self.boxes.len() {
                self.disturb(weather, who);
                if self.paused_until[who] > self.now_ms {
                    continue;
                }
                let (now, utc) =
                    (self.clocks[who].monotonic(self.now_ms), self.clocks[who].utc(self.now_ms));
                match self.boxes[who].step(now, &utc) {
                    Action::Wait(Duration::MAX) => {
                        // It has released: as a new process it comes again.
                        self.runs[who] += 1;
                        self.boxes[who] = candidate(&format!("box-{who}.{}", self.runs[who]));
                    }
                    Action::Wait(until) => prop_assert!(until > now),
                    action @ (Action::Get(_) | Action::Create(..) | Action::Update(..)) => {
                        self.post(weather, self.runs[who], Message::Question(who, action));
                    }
                }
            }
            let leaders = self.leaders();
            prop_assert!(leaders.len() <= 1, "two leaders at {} ms: {:?}", self.now_ms, leaders);
            self.led_ms += STEP_MS * leaders.len() as u64;
            self.now_ms += STEP_MS;
        }
        Ok(())
    }

    fn leaders(&self) -> Vec<usize> {
        let leads =
            |who: &usize| self.boxes[*who].is_leader(self.clocks[*who].monotonic(self.now_ms));
        (0..self.boxes.len()).filter(leads).collect()
    }
}

const CALM: Weather = Weather { loss: 0, delay_ms_max: 1, pause: 0, pause_ms_max: 1, restart: 0 };

fn weathers() -> impl Strategy<Value = Weather> {
    (0..60_u64, 1..12_000_u64, 0..10_u64, 1..30_000_u64, 0..4_u64).prop_map(
        |(loss, delay_ms_max, pause, pause_ms_max, restart)| Weather {
            loss,
            delay_ms_max,
            pause,
            pause_ms_max,
            restart,
        },
    )
}

fn clocks() -> impl Strategy<Value = Clock> {
    (85..=115_u64, 0..1_000_000_u64, prop::bool::weighted(0.1))
        .prop_map(|(rate, offset_ms, is_frozen)| Clock { rate, offset_ms, is_frozen })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn never_two_leaders_and_one_when_the_storm_is_over(
        clocks in proptest::collection::vec(clocks(), 3),
        storms in proptest::collection::vec(weathers(), 1..4),
        seed in any::<u64>(),
    ) {
        let is_sound = clocks.iter().all(|clock| !clock.is_frozen);
        let mut world = World::new(clocks, seed);
        for storm in storms {
            world.run(&storm, 90_000)?;
        }
        world.run(&CALM, 60_000)?;
        prop_assert!(!is_sound || world.leaders().len() == 1, "nobody leads: {:?}", world);
    }
}

#[test]
fn in_calm_weather_somebody_leads_nearly_all_the_time() {
    let clock = |offset_ms| Clock { rate: 100, offset_ms, is_frozen: false };
    let mut world = World::new(vec![clock(0), clock(7), clock(500)], 1);
    world.run(&CALM, 600_000).unwrap();
    assert!(world.led_ms > 599_000, "{}", world.led_ms);
}
