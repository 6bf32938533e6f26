import CIOTrapEngine
import Glibc

/// A real ring with a real read, in a process of its own: a seccomp filter may answer
/// io_uring_setup by killing the caller.
enum RingTrial {
    /// The argument with which this command runs the trial itself.
    static let argument = "--ring-trial"

    /// What came of it.
    enum Outcome: Equatable {
        /// It works; `IOTRAP_RING_FEATURE_` bits, and `asynchronousFeature`.
        case works(features: UInt32)
        /// io_uring_setup failed with this errno.
        case refused(errno: Int32)
        /// The ring was made, and its answer to a read was wrong.
        case wrongAnswer
        /// The process was killed by this signal.
        case killed(signal: Int32)
        /// The process could not be started.
        case notTried(errno: Int32)
    }

    /// Set when the larger ring for requests in flight works as well.
    static let asynchronousFeature: UInt32 = 1 << 4

    /// Exit statuses of the trial: an errno, or one of these with the feature bits added.
    private static let wrongAnswerStatus: Int32 = 199
    private static let successStatus: Int32 = 200

    /// Runs the trial in a child.
    static func run() -> Outcome {
        var child: pid_t = 0
        let code = withCStringArray([ByteString("iotrap"), ByteString(argument)]) {
            posix_spawn(&child, "/proc/self/exe", nil, nil, $0, environ)
        }
        if code != 0 { return .notTried(errno: code) }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 {
            if errno != EINTR { return .notTried(errno: errno) }
        }
        let signal = status & 0x7f
        if signal != 0 { return .killed(signal: signal) }
        let result = (status >> 8) & 0xff
        if result == wrongAnswerStatus { return .wrongAnswer }
        if result < successStatus { return .refused(errno: result) }
        return .works(features: UInt32(result - successStatus))
    }

    /// The trial itself. Returns the exit status.
    static func runInThisProcess() -> Int32 {
        var error: Int32 = 0
        guard let ring = iotrap_ring_create(1, &error) else { return -error }
        defer { iotrap_ring_destroy(ring) }
        guard answersRight(ring) else { return wrongAnswerStatus }
        var features = iotrap_ring_features(ring)
        if let larger = iotrap_ring_create_async(1, 0, &error) {
            if answersRight(larger) { features |= asynchronousFeature }
            iotrap_ring_destroy(larger)
        }
        return successStatus + Int32(features)
    }

    /// True when a read through the ring gives what is in the file.
    private static func answersRight(_ ring: OpaquePointer) -> Bool {
        let own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        defer { close(own) }
        var word: UInt32 = 0
        var userData: UInt64 = 0
        var result: Int32 = 0
        let count = UInt32(MemoryLayout<UInt32>.size)
        guard
            iotrap_ring_queue(
                ring, IOTRAP_REQUEST_READ.rawValue, own, &word, count, 0, 7) == 1,
            iotrap_ring_submit_and_wait(ring) == 1,
            iotrap_ring_reap(ring, &userData, &result) == 1
        else { return false }
        // The beginning of every ELF file, read as a little-endian number.
        return userData == 7 && result == Int32(count) && word == 0x464c_457f
    }
}
