/// Turns a load into the events of a trace, ordered by submit time.
struct LoadGenerator: ~Copyable {
    private let plans: [LoadPlan]
    private let tables: UnsafeMutableBufferPointer<PlanTables>
    private let channels: UnsafeMutableBufferPointer<Channel>
    /// By channel: when it does something next, side by side because it is looked at all the time.
    private let due: UnsafeMutableBufferPointer<UInt64>
    private let exponential = Exponential.makeTable()
    private let end: UInt64
    private var batches: UInt32 = 0
    private var events: UInt64 = 0
    /// By part: how many channels keep it standing still, from when on it may go on, and why.
    private var gates: [Gate]

    private struct Gate {
        var closers = 0
        var openAt: UInt64 = 0
        var cause: UInt64 = 0
        /// Channels that have not ended yet.
        var running: Int
    }

    /// - Parameter firstFiles: the number of the first file of each part.
    init(_ plans: [LoadPlan], firstFiles: [UInt32], seed: UInt64, seconds: Double) {
        self.plans = plans
        end = UInt64(seconds * 1e9)
        tables = .allocate(capacity: plans.count)
        for (index, plan) in plans.enumerated() {
            let held = plans.firstIndex { $0.name == plan.pauses } ?? -1
            tables.initializeElement(at: index, to: PlanTables(plan, held: held))
        }
        gates = plans.map { Gate(running: Int($0.channels)) }
        let count = plans.reduce(0) { $0 + Int($1.channels) }
        channels = .allocate(capacity: count)
        due = .allocate(capacity: count)
        due.initialize(repeating: 0)
        var number = 0
        for (index, plan) in plans.enumerated() {
            for place in 0..<plan.channels {
                let random = RandomNumbers(seed: seed, sequence: UInt64(number))
                var channel = Channel(
                    planIndex: index, thread: UInt32(number + 1), random: random, plan: plan)
                channel.firstFile = firstFiles[index]
                channel.fileCount = UInt32(plan.files)
                if !plan.sharesFiles {
                    let first = plan.files * place / plan.channels
                    let behind = plan.files * (place + 1) / plan.channels
                    channel.firstFile += UInt32(first)
                    channel.fileCount = UInt32(max(1, behind - first))
                }
                channel.currentFile = channel.firstFile
                Self.start(&channel, plan)
                channels.initializeElement(at: number, to: channel)
                number += 1
            }
        }
    }

    deinit {
        for channel in channels { channel.deallocate() }
        channels.deallocate()
        due.deallocate()
        exponential.deallocate()
        for table in tables { table.deallocate() }
        tables.deallocate()
    }

    private static func start(_ channel: inout Channel, _ plan: LoadPlan) {
        let first = UInt64(plan.firstSeconds * 1e9)
        channel.nextSubmit = plan.startsAfter.isEmpty ? first : .max
        channel.arrival = Double(first)
        channel.burstStart = first
        channel.depth = channel.random.next(in: plan.depth)
        channel.nextBatch = min(channel.random.next(in: plan.batch), channel.depth)
        if plan.totalBytes > 0 { channel.totalLeft = max(1, plan.totalBytes / plan.channels) }
        if plan.burstBytes.upperBound > 0 { startBurst(&channel, plan.numbers) }
    }

    private static func startBurst(_ channel: inout Channel, _ plan: LoadNumbers) {
        let bytes = channel.random.next(in: plan.burstBytes) / plan.channels
        channel.burstLeft = max(1, bytes)
        channel.criticalBytes = UInt64(Double(bytes) * plan.criticalPercent / 100)
        channel.isCritical = false
    }

    /// Writes all events up to the end of the load.
    mutating func run(into writer: inout TraceWriter) throws(TraceError) {
        updateAllDue()
        while true {
            var best = 0
            var bestTime = due[0]
            for index in 1..<max(1, due.count) where due[index] < bestTime {
                bestTime = due[index]
                best = index
            }
            if bestTime >= end { return }
            let channel = channels.baseAddress! + best
            if channel.pointee.nextCommit == bestTime {
                try commit(&channel.pointee, at: bestTime, &writer)
            } else if channel.pointee.syncsLeft > 0 {
                try sync(&channel.pointee, at: bestTime, &writer)
            } else {
                try submit(&channel.pointee, at: bestTime, &writer)
            }
            updateDue(best)
        }
    }

    @inline(__always)
    private func updateDue(_ index: Int) {
        let channel = channels.baseAddress! + index
        let isHeld = gates[channel.pointee.planIndex].closers > 0
        let submit = isHeld ? .max : channel.pointee.nextSubmit
        due[index] = min(submit, channel.pointee.nextCommit)
    }

    /// After something that changes what other channels may do.
    private func updateAllDue() {
        for index in due.indices { updateDue(index) }
    }

    private mutating func commit(
        _ channel: inout Channel, at time: UInt64, _ writer: inout TraceWriter
    ) throws(TraceError) {
        var event = TraceEvent()
        event.operation = .commit
        event.file = TraceEvent.noFile
        event.thread = channel.thread
        event.submitNanoseconds = time
        event.after = distance(to: channel.takeCommit())
        try writer.append(event)
        events &+= 1
    }

    /// How far back an event is.
    private func distance(to event: UInt64) -> UInt32 {
        UInt32(exactly: events &- event) ?? 0
    }

    private mutating func sync(
        _ channel: inout Channel, at time: UInt64, _ writer: inout TraceWriter
    ) throws(TraceError) {
        let plan = tables[channel.planIndex].numbers
        var event = TraceEvent()
        event.operation = plan.pointee.sync == .fsync ? .fsync : .fdatasync
        event.call = plan.pointee.sync == .fsync ? .fsync : .fdatasync
        event.file =
            plan.pointee.syncEvery == 0
            ? channel.firstFile + channel.fileCount - channel.syncsLeft : channel.currentFile
        event.thread = channel.thread
        event.submitNanoseconds = time
        event.isAfterFile = true
        event.depth = 1
        if channel.lastWrite > 0 { event.after = distance(to: channel.lastWrite - 1) }
        let mean = plan.pointee.flushMicroseconds * 1000
        let latency = Exponential.draw(exponential, &channel.random, mean: mean)
        event.latencyNanoseconds = channel.synchronise(at: time, latency: UInt64(latency))
        try writer.append(event)
        channel.syncsLeft -= 1
        if channel.syncsLeft == 0 {
            if plan.pointee.commits {
                channel.queueCommit(at: event.completeNanoseconds, after: events)
            }
            channel.nextSubmit = .max
            scheduleNext(&channel, plan, after: event.completeNanoseconds)
        } else {
            channel.nextSubmit = event.completeNanoseconds
        }
        events &+= 1
    }

    private mutating func submit(
        _ channel: inout Channel, at time: UInt64, _ writer: inout TraceWriter
    ) throws(TraceError) {
        let tables = UnsafePointer(self.tables.baseAddress! + channel.planIndex)
        channel.beginSubmission(at: time)
        let count = channel.nextBatch
        var batch: UInt32 = 0
        if count > 1 {
            batches &+= 1
            batch = batches
        }
        var event = TraceEvent()
        event.submitNanoseconds = time
        event.thread = channel.thread
        event.batch = batch
        if channel.cause > 0 {
            event.after2 = distance(to: channel.cause - 1)
            channel.cause = 0
        }
        for _ in 0..<count {
            let facts = tables.pointee.sizes[tables.pointee.mix.draw(&channel.random)]
            let size = facts.bytes
            tables.pointee.place(&event, &channel, facts)
            let mean = tables.pointee.latencyNanoseconds
            let latency = Exponential.draw(exponential, &channel.random, mean: mean)
            let issued = channel.issue(
                at: time, transfer: facts.transferNanoseconds,
                latency: tables.pointee.leastLatency &+ UInt64(latency))
            event.latencyNanoseconds = issued.latency
            event.depth = issued.depth
            event.length = size
            event.result = Int64(size)
            try writer.append(event)
            // The first of a submission speaks for all.
            event.after2 = 0
            if event.operation == .write {
                channel.writesSinceSync &+= 1
                channel.lastWrite = events &+ 1
                if tables.pointee.commitsWrites {
                    channel.queueCommit(at: event.completeNanoseconds, after: events)
                }
            }
            events &+= 1
            channel.burstLeft = channel.burstLeft > size ? channel.burstLeft &- size : 0
            channel.totalLeft = channel.totalLeft > size ? channel.totalLeft &- size : 0
            if channel.burstLeft == 0 || channel.totalLeft == 0 { break }
        }
        finishSubmission(&channel, tables, at: time)
    }

    /// What follows a submission: the critical phase, a sync, the end, or the next one.
    private mutating func finishSubmission(
        _ channel: inout Channel, _ tables: UnsafePointer<PlanTables>, at time: UInt64
    ) {
        let plan = tables.pointee.numbers
        let isBurstOver = channel.burstLeft == 0
        let held = tables.pointee.held
        if held >= 0 { watchCriticalPhase(&channel, holding: held, isBurstOver) }
        if channel.totalLeft == 0 { return finishChannel(&channel) }
        if plan.pointee.sync != .none {
            if plan.pointee.syncEvery == 0 && isBurstOver { channel.syncsLeft = channel.fileCount }
            if plan.pointee.syncEvery > 0 && channel.writesSinceSync >= plan.pointee.syncEvery {
                channel.syncsLeft = 1
                channel.writesSinceSync = 0
            }
            if channel.syncsLeft > 0 {
                channel.nextSubmit = channel.lastComplete
                return
            }
        }
        scheduleNext(&channel, plan, after: time)
    }

    private mutating func watchCriticalPhase(
        _ channel: inout Channel, holding held: Int, _ isBurstOver: Bool
    ) {
        if !channel.isCritical && !isBurstOver && channel.burstLeft <= channel.criticalBytes {
            channel.isCritical = true
            gates[held].closers += 1
            updateAllDue()
        }
        if channel.isCritical && isBurstOver {
            channel.isCritical = false
            gates[held].closers -= 1
            if channel.lastComplete >= gates[held].openAt {
                gates[held].openAt = channel.lastComplete
                gates[held].cause = events
            }
            if gates[held].closers == 0 { open(held) }
        }
    }

    /// Lets the channels of a part go on once the critical phase is over.
    private func open(_ part: Int) {
        for index in channels.indices where channels[index].planIndex == part {
            if channels[index].nextSubmit < gates[part].openAt {
                channels[index].nextSubmit = gates[part].openAt
            }
            channels[index].cause = gates[part].cause
        }
        updateAllDue()
    }

    /// The channel has moved all its bytes. The last one of a part lets others begin.
    private mutating func finishChannel(_ channel: inout Channel) {
        channel.nextSubmit = .max
        let part = channel.planIndex
        gates[part].running -= 1
        gates[part].openAt = max(gates[part].openAt, channel.lastComplete)
        if gates[part].running > 0 { return }
        for index in channels.indices {
            let other = plans[channels[index].planIndex]
            if other.startsAfter != plans[part].name { continue }
            let start = gates[part].openAt &+ UInt64(other.firstSeconds * 1e9)
            channels[index].nextSubmit = start
            channels[index].arrival = Double(start)
            channels[index].burstStart = start
            channels[index].cause = events
        }
        updateAllDue()
    }

    private func scheduleNext(
        _ channel: inout Channel, _ plan: UnsafePointer<LoadNumbers>, after time: UInt64
    ) {
        if channel.submissions & 31 == 0
            && plan.pointee.depth.lowerBound < plan.pointee.depth.upperBound
        {
            channel.depth = channel.random.next(in: plan.pointee.depth)
        }
        var batch = plan.pointee.batch.lowerBound
        if batch < plan.pointee.batch.upperBound {
            batch = channel.random.next(in: plan.pointee.batch)
        }
        channel.nextBatch = min(batch, channel.depth)
        if channel.burstLeft == 0 {
            let every = plan.pointee.everySeconds
            let span = (every.upperBound - every.lowerBound) * channel.random.nextUnit()
            channel.burstStart &+= UInt64((every.lowerBound + span) * 1e9)
            channel.burstStart = max(channel.burstStart, channel.lastComplete)
            channel.arrival = Double(channel.burstStart)
            Self.startBurst(&channel, plan.pointee)
            channel.nextSubmit = channel.burstStart
            return
        }
        var earliest = max(time, channel.roomTime(for: channel.nextBatch))
        if plan.pointee.rate.upperBound > 0 {
            for _ in 0..<channel.nextBatch { nextArrival(&channel, plan) }
            earliest = max(earliest, UInt64(min(channel.arrival, 1e18)))
        }
        channel.nextSubmit = earliest
    }

    /// Poisson arrivals, or such that change between two rates after random times.
    private func nextArrival(_ channel: inout Channel, _ plan: UnsafePointer<LoadNumbers>) {
        let isSteady = plan.pointee.rate.lowerBound == plan.pointee.rate.upperBound
        // The bound ends a series of states with rates that are next to nothing.
        for _ in 0..<64 {
            let rate =
                channel.isBursting ? plan.pointee.rate.upperBound : plan.pointee.rate.lowerBound
            let mean = rate > 0 ? 1e9 / rate : 1e18
            let step = Exponential.draw(exponential, &channel.random, mean: mean)
            if isSteady || channel.arrival + step < channel.stateEnd {
                channel.arrival += step
                return
            }
            // A Poisson process has no memory: the new state begins with a new draw.
            channel.arrival = max(channel.arrival, channel.stateEnd)
            let dwell = plan.pointee.dwellSeconds * 1e9
            channel.stateEnd =
                channel.arrival
                + Exponential.draw(exponential, &channel.random, mean: dwell)
            channel.isBursting.toggle()
        }
    }
}
