//! How an engine begins: a program for each worker, then the threads.

use std::collections::HashMap;
use std::iter;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use super::batches::Policy;
use super::compiler::{Compiler, Order, Seat};
use super::error::Error;
use super::fork::Costs;
use super::handle::{Engine, Shared};
use super::inbox::Inbox;
use super::lane::Lane;
use super::options::EngineOptions;
use super::prefixes::Prefixes;
use super::programs::PlanTable;
use super::run::Runner;
use super::threads::Threads;
use super::worker::Worker;
use crate::backbone::BackboneConfig;
use crate::graph::Plan;
use crate::metrics::Metrics;
use crate::runtime::{Device, Resident};

impl Engine {
    /// As [`Engine::start_on`], on one device.
    ///
    /// # Errors
    /// As [`Engine::start_on`].
    pub fn start(resident: Resident, metrics: Arc<Metrics>, options: &EngineOptions) -> Result<Self, Error> {
        Self::start_on((resident, Vec::new()), metrics, options)
    }

    /// Compiles the covering program for each worker and starts the threads. Workers of all devices take their batches
    /// from one queue; each device has the same weights at the same precision.
    ///
    /// # Errors
    /// When the covering program cannot be compiled or a thread cannot be started.
    pub fn start_on(
        (first, others): (Resident, Vec<Resident>),
        metrics: Arc<Metrics>,
        options: &EngineOptions,
    ) -> Result<Self, Error> {
        let precision = first.precision();
        let lane = |resident| Lane::new(resident, options, &metrics).map(Arc::new);
        let first = lane(first)?;
        // What is pinned for one GPU is pinned for all.
        let canvases = Arc::new(first.canvases());
        let others = others.into_iter().map(lane).collect::<Result<Vec<_>, _>>()?;
        let lanes: Vec<Arc<Lane>> = [first].into_iter().chain(others).collect();
        let devices: Vec<Device> = lanes.iter().map(|lane| lane.resident().device()).collect();
        let parts = Parts::new(&lanes, metrics, options)?;
        let threads = Threads::default();
        let seats = parts.workers(&lanes, options, &threads)?;
        let orders = Mutex::new(Some(parts.compiler(seats, &threads)?));
        let Parts { inbox, plans, config, costs, covering, .. } = parts;
        let adapters = covering.modules;
        let shared = Shared {
            inbox,
            orders,
            threads,
            config,
            precision,
            devices,
            lanes,
            canvases,
            costs,
            plans,
            adapters,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

/// What workers and compiler share.
struct Parts {
    config: Arc<BackboneConfig>,
    covering: Plan,
    inbox: Arc<Inbox>,
    plans: Arc<Mutex<PlanTable>>,
    prefixes: Arc<Prefixes>,
    costs: Costs,
    metrics: Arc<Metrics>,
}

impl Parts {
    fn new(lanes: &[Arc<Lane>], metrics: Arc<Metrics>, options: &EngineOptions) -> Result<Self, Error> {
        let Some(first) = lanes.first() else { return Err(Error::NoDevice) };
        let config = Arc::clone(first.resident().config());
        let covering = Plan::whole(&config, config.adapters());
        let costs = Costs::of(&config).map_err(crate::runtime::Error::from)?;
        let number = lanes.len() * options.workers.max(1);
        let inbox = Inbox::new(options.queue_limit, (lanes.len(), number), Arc::clone(&metrics));
        let plans = Arc::new(Mutex::new(PlanTable::new(covering, options.max_programs)));
        let prefixes = Arc::new(Prefixes::new(options.prefix_memory, Arc::clone(&metrics)));
        Ok(Self { config, covering, inbox: Arc::new(inbox), plans, prefixes, costs, metrics })
    }

    /// Starts the workers of each device.
    fn workers(
        &self,
        lanes: &[Arc<Lane>],
        options: &EngineOptions,
        threads: &Threads,
    ) -> Result<Vec<Seat>, Error> {
        let (max_batch, max_wait) = (options.max_batch.max(1), options.max_wait);
        let (costs, plans) = (self.costs.clone(), Arc::clone(&self.plans));
        let policy = Policy { max_batch, max_wait, costs, plans };
        let (each, mut seats) = (options.workers.max(1), Vec::new());
        for (device, lane) in lanes.iter().enumerate().flat_map(|lane| iter::repeat_n(lane, each)) {
            let (commands, received) = mpsc::channel();
            let (inbox, metrics, policy) =
                (Arc::clone(&self.inbox), Arc::clone(&self.metrics), policy.clone());
            let runner = self.runner(lane)?;
            let worker = Worker { inbox, commands: received, runner, policy, metrics, device };
            threads.spawn(format!("engine-{}", seats.len()), move || worker.run())?;
            seats.push(Seat { lane: Arc::clone(lane), device, commands });
        }
        self.metrics.engine.programs_resident.set(seats.len() as i64);
        Ok(seats)
    }

    /// A worker's programs: the covering one.
    fn runner(&self, lane: &Arc<Lane>) -> Result<Runner, Error> {
        let programs = HashMap::from([(self.covering, lane.compile(self.covering)?)]);
        self.metrics.engine.programs_compiled.inc();
        Ok(Runner {
            plans: Arc::clone(&self.plans),
            programs,
            config: Arc::clone(&self.config),
            prefixes: Arc::clone(&self.prefixes),
            lane: Arc::clone(lane),
            laid: None,
            replays: lane.replays(&self.metrics)?,
            costs: self.costs.clone(),
            metrics: Arc::clone(&self.metrics),
            ran: 0,
        })
    }

    /// Starts the thread that makes other programs, which takes orders.
    fn compiler(&self, seats: Vec<Seat>, threads: &Threads) -> Result<Sender<Order>, Error> {
        let compiler = Compiler {
            config: Arc::clone(&self.config),
            inbox: Arc::clone(&self.inbox),
            plans: Arc::clone(&self.plans),
            seats,
            metrics: Arc::clone(&self.metrics),
        };
        let (orders, queue) = mpsc::channel();
        threads.spawn("compiler".into(), move || compiler.run(queue))?;
        Ok(orders)
    }
}
