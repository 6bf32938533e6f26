import CIOTrapEngine
import Glibc
import IOTrapStats

/// What of the kernel decides about io_uring.
struct KernelChecks {
    /// Major and minor number, from uname(2).
    let version: (major: Int, minor: Int)
    let release: String
    let outcome: RingTrial.Outcome
    /// Seccomp state of this process: 0 none, 1 strict, 2 a filter; nil when unknown.
    let seccomp: Int?
    /// `io-uring=on`: the library sets rings up even under a filter.
    let insistsOnRing: Bool

    init(insistsOnRing: Bool) {
        var name = utsname()
        uname(&name)
        release = withUnsafeBytes(of: &name.release) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        let numbers = release.split { !$0.isNumber }.compactMap { Int($0) }
        version = (numbers.first ?? 0, numbers.dropFirst().first ?? 0)
        outcome = RingTrial.run()
        seccomp = Self.seccompState()
        self.insistsOnRing = insistsOnRing
    }

    /// True when the library would use rings here.
    var allowsRings: Bool {
        if case .works = outcome { return seccomp != 2 || insistsOnRing }
        return false
    }

    /// All of it, from the general to the particular.
    func findings() -> [Finding] {
        [kernel, sysctl, seccompFinding, memlock, trial, features].compactMap { $0 }
    }

    func isAtLeast(_ major: Int, _ minor: Int) -> Bool {
        version.major > major || version.major == major && version.minor >= minor
    }

    private var kernel: Finding {
        if isAtLeast(6, 1) { return .ok("kernel", release) }
        if isAtLeast(5, 6) {
            return .warn(
                "kernel", "\(release): io_uring without deferred task work",
                remedy: "Linux 6.1 or later makes rings cheaper")
        }
        return .fail(
            "kernel", "\(release): too old for io_uring reads and writes",
            remedy: "use Linux 5.6 or later, best 6.1")
    }

    private var sysctl: Finding {
        let name = "kernel.io_uring_disabled"
        guard let text = Self.number(in: "/proc/sys/kernel/io_uring_disabled") else {
            return .ok("sysctl", "\(name) does not exist here (Linux 6.6 and later have it)")
        }
        switch text {
        case "0": return .ok("sysctl", "\(name) = 0")
        case "1":
            let group = Self.number(in: "/proc/sys/kernel/io_uring_group") ?? "-1"
            let detail = "\(name) = 1: only for CAP_SYS_ADMIN and group \(group)"
            if case .works = outcome { return .ok("sysctl", detail + ", which this user has") }
            return .fail(
                "sysctl", detail,
                remedy: "sysctl -w \(name)=0, or kernel.io_uring_group=GID of this user's group")
        default:
            return .fail(
                "sysctl", "\(name) = \(text): switched off for everybody",
                remedy: "sysctl -w \(name)=0, and the same in /etc/sysctl.d to keep it")
        }
    }

    private var seccompFinding: Finding {
        switch seccomp {
        case 0: return .ok("seccomp", "no filter")
        case 2 where insistsOnRing:
            return .ok("seccomp", "a filter, and io-uring=on tries rings all the same")
        case 2:
            var works = false
            if case .works = outcome { works = true }
            return .fail(
                "seccomp",
                "a filter is in effect; the library does not try io_uring under one, "
                    + "because filters may kill for it",
                remedy: works
                    ? "this filter allows it: use --set io-uring=on"
                    : "allow io_uring_setup, io_uring_enter and io_uring_register in the profile "
                        + "of the container or service, then use --set io-uring=on")
        case nil:
            return .warn(
                "seccomp", "unknown: /proc/self/status is unreadable", remedy: "mount /proc")
        default:
            return .fail("seccomp", "strict mode", remedy: "start it outside of the sandbox")
        }
    }

    private var memlock: Finding {
        let limit = iotrap_memlock_limit()
        let text = limit == .max ? "unlimited" : Units.bytes(limit)
        if isAtLeast(5, 12) {
            return .ok("memlock", "\(text), not charged for rings since Linux 5.12")
        }
        if limit >= 8 << 20 { return .ok("memlock", text) }
        return .warn(
            "memlock", "\(text): each thread's ring is charged to it before Linux 5.12",
            remedy: "raise it to 8 MiB: ulimit -l 8192, LimitMEMLOCK=8M in the service")
    }

    private var trial: Finding {
        switch outcome {
        case .works: return .ok("io_uring", "a ring was set up and read a file")
        case .wrongAnswer:
            return .fail(
                "io_uring", "a ring was set up, but its read did not come back right",
                remedy: "report the kernel's version; meanwhile use --set backend=plain")
        case .killed(let signal):
            return .fail(
                "io_uring",
                "the trial was killed by signal \(signal)"
                    + (signal == SIGSYS ? ": a seccomp filter kills for it" : ""),
                remedy: "allow io_uring in the seccomp profile; the library does not try it there")
        case .notTried(let code):
            return .fail(
                "io_uring", "the trial could not be started: \(Diagnostics.errorText(code))",
                remedy: "mount /proc and allow this command to be executed")
        case .refused(let code):
            return .fail(
                "io_uring", "io_uring_setup failed: \(Diagnostics.errorText(code))",
                remedy: remedy(for: code))
        }
    }

    private func remedy(for code: Int32) -> String {
        switch code {
        case EPERM:
            return seccomp == 2
                ? "a seccomp filter refuses it: allow it in the profile of the container or service"
                : "see kernel.io_uring_disabled above; in a container, ask the host for it"
        case ENOSYS: return "this kernel is built without io_uring: use one with CONFIG_IO_URING"
        case ENOMEM: return "raise RLIMIT_MEMLOCK (ulimit -l), or the memory limit of the cgroup"
        case EMFILE, ENFILE: return "raise the limit of open files (ulimit -n)"
        default: return "look for the error in io_uring_setup(2)"
        }
    }

    private var features: Finding? {
        guard case .works(let bits) = outcome else { return nil }
        let deferred = bits & IOTRAP_RING_FEATURE_DEFER_TASKRUN != 0
        let hidden = bits & IOTRAP_RING_FEATURE_HIDDEN != 0
        if deferred && hidden {
            return .ok(
                "features", "single issuer with deferred task work, rings without a descriptor")
        }
        let missing = [
            deferred ? nil : "single issuer with deferred task work (Linux 6.1)",
            hidden ? nil : "rings without a descriptor (Linux 6.5)",
        ].compactMap { $0 }.joined(separator: ", ")
        return .warn(
            "features", "missing: \(missing)",
            remedy: "works without; a later kernel makes rings cheaper and invisible to programs")
    }

    private static func seccompState() -> Int? {
        guard let status = smallFile("/proc/self/status") else { return nil }
        let lines = String(decoding: status, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("Seccomp:") }) else { return nil }
        return Int(line.dropFirst("Seccomp:".count).drop { $0 == "\t" || $0 == " " })
    }

    /// The first line of a small file.
    static func number(in path: String) -> String? {
        smallFile(path).map {
            String(decoding: $0.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
    }
}
