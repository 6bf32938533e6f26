import CIOTrap
import CIOTrapEngine
import Synchronization

/// Everything the engine knows about the process, in zeroed static memory.
///
/// It is reached through a pointer, never through a Swift global with an initialiser: a hook may
/// run before any constructor, and inside a signal handler.
struct ProcessState {
    /// True once the configuration is read and says anything but `off`.
    var isActive: Bool
    /// The program installed a seccomp filter after load: no new kind of system call any more.
    var isRestricted: UInt32
    var configuration: Configuration

    // What the configuration means for the hot path, worked out once.
    var servesBuffered: Bool
    var servesDirect: Bool
    var servesVectored: Bool
    var servesSync: Bool
    /// Direct calls of at least this many bytes are offered to a technique.
    var directMinimumBytes: UInt64

    /// Number of this process in its line of forks; the guard word holds it. Never 0.
    var generation: UInt32
    var guardPage: UnsafeMutablePointer<UInt32>?
    /// False in a forked child that has not noticed yet.
    var isThisProcess: Bool {
        guardPage?.atomic.pointee.load(ordering: .relaxed) == generation
    }

    // Telemetry
    var statsWanted: Bool
    var statsKept: Bool
    var segment: SegmentState
    var lock: FutexLock

    // Ring availability for the whole process
    var ringRefusal: Int32
    /// Requests the fault-injecting backend has seen.
    var faultCount: UInt32

    /// Live comparisons of the offload technique, by libaio context.
    var offloads: UnsafeMutablePointer<Comparison>?

    // Files
    var files: UnsafeMutablePointer<FileRecord>?
    /// Generations are handed out here and never repeat, not even over a fork.
    var nextFileGeneration: UInt32

    /// The configured mount pools; nil without any.
    var pools: UnsafeMutablePointer<iotrap_pool_table>?
    /// Where they are in use: see Pools.
    var pathWords: UnsafeMutablePointer<iotrap_path_words>?
    var poolFiles: UnsafeMutablePointer<iotrap_pool_file>?
    /// Records of files ever used.
    var poolFileCount: UInt32
    /// Files read through the page cache may be in a pool.
    var poolsServeBuffered: Bool

    /// What is recorded, and where.
    var recorder: RecorderState

    /// Paths from the environment, kept because the program may change its environment.
    var statsDirectory: PathBuffer
    var logPath: PathBuffer
}

/// The process state. Zeroed until `iotrap_start`.
@inline(__always)
var process: UnsafeMutablePointer<ProcessState> {
    iotrap_process_memory().assumingMemoryBound(to: ProcessState.self)
}

/// A path of at most 255 bytes, zero-terminated, without allocation.
struct PathBuffer {
    private var bytes: InlineArray<256, UInt8> = InlineArray(repeating: 0)
    private(set) var count = 0

    init() {}

    /// Appends one byte; false when there is no room.
    mutating func append(_ byte: UInt8) -> Bool {
        guard count < 255 else { return false }
        bytes[count] = byte
        count += 1
        return true
    }

    /// Appends a text; false when there is no room for all of it.
    mutating func append(_ text: StaticString) -> Bool {
        for index in 0..<text.utf8CodeUnitCount {
            guard append(text.utf8Start[index]) else { return false }
        }
        return true
    }

    /// Appends a number in decimal.
    mutating func append(decimal value: UInt64) -> Bool {
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var rest = value
        var length = 0
        repeat {
            digits[length] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
            length += 1
        } while rest > 0
        while length > 0 {
            length -= 1
            guard append(digits[length]) else { return false }
        }
        return true
    }

    /// Makes the last byte a line feed.
    mutating func cutLine() {
        bytes[count - 1] = UInt8(ascii: "\n")
    }

    /// Takes over a C string; false, leaving the buffer empty, when it is too long.
    mutating func assign(_ text: UnsafePointer<CChar>) -> Bool {
        self = PathBuffer()
        var index = 0
        while text[index] != 0 {
            guard append(UInt8(bitPattern: text[index])) else {
                self = PathBuffer()
                return false
            }
            index += 1
        }
        return true
    }

    /// Calls `body` with the address of the zero-terminated bytes.
    func withAddress(_ body: (Int) -> Int) -> Int {
        var copy = bytes
        return withUnsafeMutablePointer(to: &copy) { body(Int(bitPattern: $0)) }
    }
}
