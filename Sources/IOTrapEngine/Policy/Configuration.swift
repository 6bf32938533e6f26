import CIOTrap

/// The names of modes, techniques and other enumerations, as users write them.
public enum SettingNames {
    /// Valid values of `IOTRAP_MODE`, in the order of `enum iotrap_mode`.
    public static var modes: StaticString { "off, observe, auto, force" }
    /// Valid keys of `IOTRAP_SET`.
    public static var keys: StaticString {
        """
        ring, split, group-sync, libaio, posix-aio, offload, mount-pools, split-chunk, \
        split-depth, sync-scope, aio-context, backend, io-uring, ring-descriptor, follow, fault
        """
    }
}

/// Where group sync may share one real sync between descriptors.
public enum SyncScope: UInt8, Sendable {
    /// By inode, except on FUSE, where a daemon may buffer per open file: there by descriptor.
    case automatic
    /// Any descriptor of the same device and inode.
    case file
    /// The same descriptor number only.
    case descriptor
}

/// One rule of the fault-injecting backend: every `period`-th request is altered.
public struct FaultRule: Equatable, Sendable {
    /// Every how many requests; 0: never.
    public var period: UInt32 = 0
    /// Result to report instead (negative: an errno), when not a shortening.
    public var error: Int32 = 0
    /// Bytes to report at most, when positive.
    public var shortBytes: Int32 = 0

    /// The defaults.
    public init() {}
}

/// Everything that can be set. A trivial value: copied into the process state once, at start.
public struct Configuration: Equatable, Sendable {
    /// `enum iotrap_mode`
    public var mode: UInt32 = IOTRAP_MODE_AUTO.rawValue
    /// `enum iotrap_setting` of batches through the ring.
    public var ring: UInt8 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
    /// `enum iotrap_setting` of splitting large O_DIRECT calls.
    public var split: UInt8 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
    /// `enum iotrap_setting` of shared syncs.
    public var groupSync: UInt8 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
    /// `enum iotrap_setting` of libaio requests on the submitting thread's ring.
    public var libaio: UInt8 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
    /// `enum iotrap_setting` of POSIX AIO requests on the service thread's ring.
    public var posixAIO: UInt8 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
    /// `enum iotrap_setting` of asynchronous requests handed to kernel workers (IOSQE_ASYNC).
    public var offload: UInt8 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
    /// `enum iotrap_setting` of mount pools, where any are configured.
    public var mountPools: UInt8 = UInt8(IOTRAP_SETTING_AUTO.rawValue)
    /// Piece size of a split call in bytes, a multiple of 4096.
    public var splitChunkBytes: UInt64 = 512 << 10
    /// Requests of one call in flight at once, 1 to 64.
    public var splitDepth: UInt32 = 32
    /// How far group sync shares.
    public var syncScope: SyncScope = .automatic
    /// True: libaio contexts are the library's own, as where the kernel refuses one.
    public var emulatesContexts: Bool = false
    /// False: techniques run on plain system calls, without a ring.
    public var usesRing: Bool = true
    /// True: set io_uring up even under a seccomp filter that may kill for it.
    public var insistsOnRing: Bool = false
    /// False: rings use ordinary descriptors, as on kernels before 6.5.
    public var hidesRingDescriptor: Bool = true
    /// True: the environment is carried over exec.
    public var followsExec: Bool = true
    /// Faults to inject; none by default.
    public var fault = FaultRule()

    /// The defaults.
    public init() {}

    /// The setting of one technique after the mode's say. Mode force makes on of auto, but for
    /// offload, which is a way to run a request rather than one to serve a call: forced, it would
    /// keep the ordinary way from ever being run.
    ///
    /// - Parameter technique: a value of `enum iotrap_technique`.
    /// - Returns: off, on (always where eligible) or auto (by live comparison).
    public func setting(_ technique: UInt32) -> UInt32 {
        let own: UInt8
        switch technique {
        case IOTRAP_TECHNIQUE_RING.rawValue: own = ring
        case IOTRAP_TECHNIQUE_SPLIT.rawValue: own = split
        case IOTRAP_TECHNIQUE_LIBAIO.rawValue: own = libaio
        case IOTRAP_TECHNIQUE_POSIX_AIO.rawValue: own = posixAIO
        case IOTRAP_TECHNIQUE_OFFLOAD.rawValue: own = offload
        case IOTRAP_TECHNIQUE_MOUNT_POOL.rawValue: own = mountPools
        default: own = groupSync
        }
        if mode == IOTRAP_MODE_OFF.rawValue || mode == IOTRAP_MODE_OBSERVE.rawValue {
            return IOTRAP_SETTING_OFF.rawValue
        }
        if mode == IOTRAP_MODE_FORCE.rawValue && UInt32(own) == IOTRAP_SETTING_AUTO.rawValue
            && technique != IOTRAP_TECHNIQUE_OFFLOAD.rawValue
        {
            return IOTRAP_SETTING_ON.rawValue
        }
        return UInt32(own)
    }
}

/// Why a setting was refused.
public enum ConfigurationFault: UInt8, Error, Sendable {
    case unknownMode
    case unknownKey
    case missingValue
    case badSwitch
    case badSize
    case badNumber
    case badChoice
    case badFault
}

/// A refused setting: what is wrong, and where in the text it stands.
public struct ConfigurationError: Error, Equatable, Sendable {
    /// What is wrong.
    public var fault: ConfigurationFault
    /// Byte offset of the offending item in the text that was parsed.
    public var start: Int
    /// Its length in bytes.
    public var count: Int

    /// What would have been valid, as one line for a person.
    public var remedy: StaticString {
        switch fault {
        case .unknownMode: "valid modes: off, observe, auto, force"
        case .unknownKey:
            """
            valid settings: ring, split, group-sync, libaio, posix-aio, offload, mount-pools, \
            split-chunk, split-depth, sync-scope, aio-context, backend, io-uring, \
            ring-descriptor, follow, fault
            """
        case .missingValue: "write it as key=value"
        case .badSwitch: "valid values: on, off, auto"
        case .badSize: "a multiple of 4096 from 4096 to 64M, for example 512K"
        case .badNumber: "a whole number from 1 to 64"
        case .badChoice:
            """
            valid values: sync-scope=auto|file|descriptor, aio-context=auto|own, \
            backend=uring|plain, io-uring=auto|on, ring-descriptor=hidden|visible, follow=on|off
            """
        case .badFault: "fault=errno:NUMBER@EVERY or fault=short:BYTES@EVERY"
        }
    }
}
