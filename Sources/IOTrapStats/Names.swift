import CIOTrap

// The enumerations of iotrap_stats.h as Swift values with their printed names. A test reads the
// header and compares, so a new enumerator cannot be forgotten here.

/// What the program called. Raw values are those of `enum iotrap_operation`.
public enum Operation: Int, CaseIterable, Sendable {
    case read, write, pread, pwrite, readv, writev, preadv, pwritev
    case fsync, fdatasync, syncFileRange, sync, truncate, allocate, open, close
    case ioSubmit, ioGetevents, aioRead, aioWrite, aioFsync, aioSuspend, lioListio

    /// The name in tables and JSON, in kebab case.
    public var name: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case .pread: "pread"
        case .pwrite: "pwrite"
        case .readv: "readv"
        case .writev: "writev"
        case .preadv: "preadv"
        case .pwritev: "pwritev"
        case .fsync: "fsync"
        case .fdatasync: "fdatasync"
        case .syncFileRange: "sync-file-range"
        case .sync: "sync"
        case .truncate: "truncate"
        case .allocate: "allocate"
        case .open: "open"
        case .close: "close"
        case .ioSubmit: "io-submit"
        case .ioGetevents: "io-getevents"
        case .aioRead: "aio-read"
        case .aioWrite: "aio-write"
        case .aioFsync: "aio-fsync"
        case .aioSuspend: "aio-suspend"
        case .lioListio: "lio-listio"
        }
    }
}

/// What the library may do with a call. Raw values are those of `enum iotrap_technique`.
public enum Technique: Int, CaseIterable, Sendable {
    case ring, split, groupSync, libaio, posixAIO, offload, mountPool

    /// The name in tables, JSON and `--set`, in kebab case.
    public var name: String {
        switch self {
        case .ring: "ring"
        case .split: "split"
        case .groupSync: "group-sync"
        case .libaio: "libaio"
        case .posixAIO: "posix-aio"
        case .offload: "offload"
        case .mountPool: "mount-pools"
        }
    }
}

/// Why a call went straight to the kernel. Raw values are those of `enum iotrap_reason`.
public enum Reason: Int, CaseIterable, Sendable {
    case noTechnique, policy, buffered, filePosition, notRegular, append, singleRequest, compared
    case alone, flags, unaligned, sizeLimit, extendsFile, ioUringUnavailable, badDescriptor
    case tableFull, retried, undecided, sharedContext, eventfd, ordered, opcode
    case primaryPath, unproven, mapped

    /// The name in tables and JSON, in kebab case.
    public var name: String {
        switch self {
        case .noTechnique: "no-technique"
        case .policy: "policy"
        case .buffered: "buffered"
        case .filePosition: "file-position"
        case .notRegular: "not-regular"
        case .append: "append"
        case .singleRequest: "single-request"
        case .compared: "compared"
        case .alone: "alone"
        case .flags: "flags"
        case .unaligned: "unaligned"
        case .sizeLimit: "size-limit"
        case .extendsFile: "extends-file"
        case .ioUringUnavailable: "io-uring-unavailable"
        case .badDescriptor: "bad-descriptor"
        case .tableFull: "table-full"
        case .retried: "retried"
        case .undecided: "undecided"
        case .sharedContext: "shared-context"
        case .eventfd: "eventfd"
        case .ordered: "ordered"
        case .opcode: "opcode"
        case .primaryPath: "primary-path"
        case .unproven: "unproven"
        case .mapped: "mapped"
        }
    }

    /// What the reason means, in a few words for a table.
    public var explanation: String {
        switch self {
        case .noTechnique: "nothing applies to this kind of call"
        case .policy: "mode observe, or the technique is off"
        case .buffered: "page-cache I/O, where a ring only adds cost"
        case .filePosition: "moves the shared file offset"
        case .notRegular: "pipe, socket, terminal, device or directory"
        case .append: "O_APPEND"
        case .singleRequest: "nothing to put in flight beside it"
        case .compared: "plain was measured to be as fast"
        case .alone: "no other thread syncs that file"
        case .flags: "RWF_ flags given"
        case .unaligned: "unfit for O_DIRECT pieces"
        case .sizeLimit: "empty, or over a size limit"
        case .extendsFile: "writes beyond the end of the file"
        case .ioUringUnavailable: "see iotrap doctor"
        case .badDescriptor: "closed or negative descriptor"
        case .tableFull: "more files than the library tracks"
        case .retried: "asked the kernel again after the ring"
        case .undecided: "not known yet where the program waits"
        case .sharedContext: "one thread submits, another reaps"
        case .eventfd: "ends are told by eventfd; may read the kernel's ring"
        case .ordered: "runs inside io_submit, in order"
        case .opcode: "a poll or sync, which the kernel runs as well"
        case .primaryPath: "the path the program opened is as good as any"
        case .unproven: "a pool's other paths are not known to lead there"
        case .mapped: "a pool's file that is mapped or locked"
        }
    }
}

/// By which interface a program asks for asynchronous I/O. Raw values are those of
/// `enum iotrap_async_interface`.
public enum AsyncInterface: Int, CaseIterable, Sendable {
    case libaio, posix

    /// The name in tables and JSON: that of the technique that serves the interface.
    public var name: String {
        switch self {
        case .libaio: "libaio"
        case .posix: "posix-aio"
        }
    }
}

/// Who ran an asynchronous request. Raw values are those of `enum iotrap_async_route`.
public enum AsyncRoute: Int, CaseIterable, Sendable {
    case kernel, ring, service, inline

    /// The name in tables and JSON.
    public var name: String {
        switch self {
        case .kernel: "kernel"
        case .ring: "ring"
        case .service: "service"
        case .inline: "inline"
        }
    }
}

/// How a path of a mount pool is doing. Raw values are those of `enum iotrap_path_state`.
public enum PathState: Int, CaseIterable, Sendable {
    case unused, up, stalled, ejected

    /// The name in tables and JSON.
    public var name: String {
        switch self {
        case .unused: "unused"
        case .up: "up"
        case .stalled: "stalled"
        case .ejected: "ejected"
        }
    }
}

/// How far the library goes. Raw values are those of `enum iotrap_mode`.
public enum Mode: Int, CaseIterable, Sendable {
    case off, observe, auto, force

    /// The name in tables, JSON and `--mode`.
    public var name: String {
        switch self {
        case .off: "off"
        case .observe: "observe"
        case .auto: "auto"
        case .force: "force"
        }
    }
}

/// The setting of one technique. Raw values are those of `enum iotrap_setting`.
public enum Setting: Int, CaseIterable, Sendable {
    case off, on, auto

    /// The name in tables, JSON and `--set`.
    public var name: String {
        switch self {
        case .off: "off"
        case .on: "on"
        case .auto: "auto"
        }
    }
}

/// What became of io_uring in the process. Raw values are those of `enum iotrap_ring_state`.
public enum RingState: Int, CaseIterable, Sendable {
    case unused, working, refused

    /// The name in tables and JSON.
    public var name: String {
        switch self {
        case .unused: "unused"
        case .working: "working"
        case .refused: "refused"
        }
    }
}
