import Glibc

/// A program that runs as a child while this process waits for its end and passes signals on.
struct SupervisedChild {
    let processID: pid_t
    private let awaited: sigset_t

    /// Starts the program.
    init(_ launch: Launch) throws(CommandFailure) {
        var awaited = sigset_t()
        sigemptyset(&awaited)
        for signal in [SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP] { sigaddset(&awaited, signal) }
        // Blocked and fetched by sigwaitinfo, so that nothing is lost between two looks.
        var before = sigset_t()
        sigprocmask(SIG_BLOCK, &awaited, &before)
        // Inherited as ignored, it would make the kernel discard the program's exit status.
        signal(SIGCHLD, SIG_DFL)
        self.awaited = awaited
        processID = try launch.startChild(signalMask: before)
    }

    /// Waits for the end of the program. Returns its exit status, or 128 + the signal's number.
    func waitForEnd() -> Int32 {
        var set = awaited
        while true {
            var status: Int32 = 0
            let result = waitpid(processID, &status, WNOHANG)
            if result == processID { return Self.exitStatus(status) }
            if result < 0 && errno != EINTR { return ExitStatus.cannotExecute }
            var information = siginfo_t()
            let signal = sigwaitinfo(&set, &information)
            // The terminal signals its whole foreground group, the program included: only what
            // a process sent to this one alone has to be passed on.
            if signal > 0 && signal != SIGCHLD && information.si_code <= 0 {
                kill(processID, signal)
            }
        }
    }

    /// wait(2)'s status as a shell would report it.
    private static func exitStatus(_ status: Int32) -> Int32 {
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
}
