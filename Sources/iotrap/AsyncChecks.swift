import CIOTrap
import CIOTrapEngine
import IOTrapEngine
import IOTrapStats

/// What programs that speak libaio or POSIX AIO get here. None of it keeps them from working: what
/// the library does not serve stays with the kernel or with glibc.
struct AsyncChecks {
    let kernel: KernelChecks
    let configuration: Configuration

    /// From the kernel's limits to the two interfaces.
    func findings() -> [Finding] { [limit, libaio, posixAIO] }

    /// The events that all processes together may reserve with io_setup(2).
    private var limit: Finding {
        let subject = "aio-max-nr"
        guard let most = KernelChecks.number(in: "/proc/sys/fs/aio-max-nr").flatMap({ UInt64($0) }),
            let used = KernelChecks.number(in: "/proc/sys/fs/aio-nr").flatMap({ UInt64($0) })
        else { return .ok(subject, "does not exist here: this kernel has no libaio of its own") }
        let detail = "\(used) of \(most) events reserved by all processes together"
        // The kernel reserves up to twice what a program asks for, so the last tenth is soon gone.
        if used < most - most / 10 { return .ok(subject, detail) }
        return .warn(
            subject, "\(detail): beyond, io_setup fails where the library does not serve it",
            remedy: "sysctl -w fs.aio-max-nr=1048576, and the same in /etc/sysctl.d to keep it")
    }

    private var libaio: Finding {
        if let reason = unserved(IOTRAP_TECHNIQUE_LIBAIO, "libaio") {
            return .ok("libaio", "\(reason): requests stay with the kernel's own")
        }
        let text = "a ring for each thread that submits and waits in io_getevents"
        return ring(subject: "libaio", text, otherwise: "requests stay with the kernel's own")
    }

    private var posixAIO: Finding {
        if let reason = unserved(IOTRAP_TECHNIQUE_POSIX_AIO, "posix-aio") {
            return .ok("posix-aio", "\(reason): requests stay with glibc's threads")
        }
        let text = "one thread with a ring, only while requests are in flight"
        return ring(subject: "posix-aio", text, otherwise: "requests stay with glibc's threads")
    }

    /// Why the technique is not to be used, as far as it was decided by somebody.
    private func unserved(_ technique: iotrap_technique, _ key: String) -> String? {
        if configuration.setting(technique.rawValue) != IOTRAP_SETTING_OFF.rawValue { return nil }
        let mode = Mode(rawValue: Int(configuration.mode)) ?? .off
        return mode == .off || mode == .observe ? "mode \(mode.name)" : "\(key)=off"
    }

    /// The finding about a technique that needs a ring for requests in flight.
    private func ring(subject: String, _ text: String, otherwise: String) -> Finding {
        guard kernel.allowsRings, case .works(let features) = kernel.outcome else {
            return .warn(
                subject, "no io_uring: \(otherwise)", remedy: "see what fails above")
        }
        if features & RingTrial.asynchronousFeature == 0 {
            return .warn(
                subject, "a ring for requests in flight could not be set up: \(otherwise)",
                remedy: "raise RLIMIT_MEMLOCK (ulimit -l), or the memory limit of the cgroup")
        }
        if !kernel.isAtLeast(5, 19) {
            return .warn(
                subject, "\(text); each completion interrupts it",
                remedy: "Linux 5.19 and later let completions wait (cooperative task work)")
        }
        return .ok(subject, text)
    }
}
