import CIOTrapEngine
import Glibc

/// Starting the thread of a loop.
enum LoopThread {
    /// Starts a thread, and waits until its queue is open: 0 or -errno.
    static func start(_ loop: RingLoop) -> Int32 {
        let retained = Unmanaged.passRetained(loop)
        let error = iotrap_thread_start(runLoop, retained.toOpaque())
        guard error == 0 else {
            retained.release()
            return error
        }
        return loop.start.wait()
    }
}

/// The body of a loop's thread.
private func runLoop(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let loop = Unmanaged<RingLoop>.fromOpaque(argument!).takeRetainedValue()
    iotrap_thread_name(loop.options.name)
    var error: Int32 = 0
    if let processor = loop.options.processor {
        error = iotrap_thread_pin(Int32(clamping: processor))
    }
    if error == 0 { error = loop.open() }
    loop.start.report(error)
    if error == 0 { loop.run() }
    return nil
}

/// What a new thread says to the one that started it, once.
struct StartSignal: ~Copyable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    private let error = UnsafeMutablePointer<Int32>.allocate(capacity: 1)

    init() {
        sem_init(semaphore, 0, 0)
        error.initialize(to: 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
        error.deallocate()
    }

    func report(_ error: Int32) {
        self.error.pointee = error
        sem_post(semaphore)
    }

    func wait() -> Int32 {
        while sem_wait(semaphore) != 0 {}
        return error.pointee
    }
}
