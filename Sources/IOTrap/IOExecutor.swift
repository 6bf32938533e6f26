import CIOTrap

/// A thread with an io_uring instance of its own, on which tasks run.
///
/// A task that runs here starts its I/O without a lock, a wake-up or another thread: what all tasks
/// of a round asked for goes to the kernel in one system call, and the thread sleeps in the kernel
/// until an operation ends or another thread sends work.
///
/// ```swift
/// let executor = try IOExecutor()
/// try await withTaskExecutorPreference(executor) {
///     let file = try await IOFile.open("data.db")
///     print(try file.size())
/// }
/// ```
///
/// Code that is bound to an actor, such as `main` to the main actor, runs on the actor's thread.
/// Tasks that run elsewhere may use every file as well: their I/O goes to ``shared``. An actor
/// lives on the thread when its `unownedExecutor` is ``unownedSerialExecutor``:
///
/// ```swift
/// actor OnExecutor {
///     let executor: IOExecutor
///     nonisolated var unownedExecutor: UnownedSerialExecutor { executor.unownedSerialExecutor }
///
///     init(_ executor: IOExecutor) { self.executor = executor }
/// }
/// ```
///
/// Work that blocks or computes for long holds up everything else on the thread.
public final class IOExecutor: TaskExecutor {
    /// How an executor is made.
    public struct Options: Sendable {
        /// Operations in flight at most (1 to 16384); more wait for their turn.
        public var depth: Int
        /// The thread's name, of which the kernel keeps 15 bytes.
        public var name: String
        /// The processor that the thread stays on; nil: any.
        public var processor: Int?

        /// Options, each with what is usual.
        public init(depth: Int = 512, name: String = "iotrap", processor: Int? = nil) {
            self.depth = depth
            self.name = name
            self.processor = processor
        }
    }

    /// The executor of tasks that run on none. Starts when it is first used.
    ///
    /// Ends the process when no thread can be made.
    public static let shared: IOExecutor = {
        do throws(IOError) {
            return try IOExecutor()
        } catch {
            fatalError("IOExecutor.shared: \(error)")
        }
    }()

    let loop: RingLoop

    /// Starts a thread.
    ///
    /// Where there is no io_uring (see `iotrap doctor`) its operations are plain system calls, one
    /// after the other.
    /// - Throws: `.queue` with what iotrap_queue_open or pthread_create(3) said.
    public init(_ options: Options = Options()) throws(IOError) {
        guard (1...16384).contains(options.depth) else {
            throw IOError(
                .queue, path: "", reason: .invalid("depth \(options.depth) is not in 1...16384"))
        }
        Engine.start()
        loop = RingLoop(options)
        loop.owner = self
        loop.taskExecutor = asUnownedTaskExecutor()
        let error = LoopThread.start(loop)
        guard error == 0 else { throw IOError(.queue, path: "", reason: .system(-error)) }
    }

    /// Lets the thread end once it has nothing left to do.
    deinit { loop.stop() }

    /// The thread as the home of actors, which have to keep the executor.
    public var unownedSerialExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// True in the executor's own thread.
    public var isCurrent: Bool { loop.isCurrent }

    /// Called by the Swift runtime.
    public func enqueue(_ job: consuming ExecutorJob) { loop.enqueuePreferred(job) }

    /// The loop of the calling thread, or else that of the shared executor.
    static var here: RingLoop { RingLoop.current ?? shared.loop }
}
