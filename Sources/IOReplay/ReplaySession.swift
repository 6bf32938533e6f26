import CIOReplay
import Glibc

/// The lanes of one run, seen from the thread that feeds them.
final class ReplaySession {
    let pointer: OpaquePointer
    let options: iotrap_replay_options
    /// When the lanes were started, since 1970.
    private(set) var startedRealtimeNanoseconds: UInt64 = 0
    private var usageBefore = rusage()
    private var isRunning = false

    init(_ options: iotrap_replay_options) throws(ReplayError) {
        var copy = options
        var error: Int32 = 0
        guard let pointer = iotrap_replay_create(&copy, &error) else {
            throw ReplayError(
                "no memory for the replay: \(ReplayError.text(of: -error)); use fewer --threads")
        }
        self.pointer = pointer
        self.options = options
    }

    deinit {
        if isRunning {
            iotrap_replay_stop(pointer)
            while iotrap_replay_wait(pointer, 100) == 0 {}
        }
        iotrap_replay_destroy(pointer)
    }

    /// Starts the lanes and the clock.
    func start(engine: ReplayEngine) throws(ReplayError) {
        iotrap_replay_catch_signals(pointer)
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usageBefore)
        startedRealtimeNanoseconds = RankBarrier.realtimeNanoseconds()
        let error = iotrap_replay_start(pointer)
        if error != 0 {
            let remedy =
                switch engine {
                case .libaio: "raise the sysctl fs.aio-max-nr, or use fewer --threads"
                case .uring: "see iotrap doctor, or use another --engine"
                default: "use fewer --threads"
                }
            throw ReplayError(
                "engine \(engine.rawValue) cannot start: \(ReplayError.text(of: -error)); \(remedy)"
            )
        }
        isRunning = true
    }

    /// Hands a request over, and calls `idle` about ten times a second while there is no room.
    /// False once the session was stopped.
    func push(_ request: inout iotrap_replay_request, idle: () -> Void) -> Bool {
        while true {
            let error = iotrap_replay_push(pointer, &request)
            if error == 0 { return true }
            if error != -EAGAIN { return false }
            idle()
        }
    }

    /// Waits until all that was pushed is complete.
    func finish(idle: () -> Void) {
        iotrap_replay_close(pointer)
        while iotrap_replay_wait(pointer, 100) == 0 { idle() }
        isRunning = false
    }

    var completed: UInt64 { iotrap_replay_completed(pointer) }
    var isStopped: Bool { iotrap_replay_is_stopped(pointer) != 0 }

    /// Processor time since the start, in seconds.
    func processorTime() -> (user: Double, system: Double) {
        var now = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &now)
        func seconds(_ from: timeval, _ to: timeval) -> Double {
            Double(to.tv_sec - from.tv_sec) + Double(to.tv_usec - from.tv_usec) / 1e6
        }
        return (
            seconds(usageBefore.ru_utime, now.ru_utime), seconds(usageBefore.ru_stime, now.ru_stime)
        )
    }
}
