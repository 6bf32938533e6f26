import Glibc

/// How a checked program is started: in this process's place, or as a child.
struct Launch {
    let path: ByteString
    let arguments: [ByteString]
    let environment: Environment

    /// Becomes the program. Returns only to throw.
    func replaceThisProcess() throws(CommandFailure) -> Never {
        withCStringArray(environment.entries) { variables in
            withCStringArray(arguments) { arguments in
                _ = path.withCString { execve($0, arguments, variables) }
            }
            // A text without "#!" is the shell's, as execvp(3) has it.
            if errno == ENOEXEC && isText {
                withCStringArray(shellArguments) { _ = execve(Self.shell, $0, variables) }
            }
        }
        throw failure(errno)
    }

    /// Starts the program as a child with this process's signal mask before `blocked`.
    func startChild(signalMask: sigset_t) throws(CommandFailure) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var mask = signalMask
        posix_spawnattr_setsigmask(&attributes, &mask)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var child: pid_t = 0
        let code = withCStringArray(environment.entries) { variables in
            let code = withCStringArray(arguments) { arguments in
                path.withCString { posix_spawn(&child, $0, nil, &attributes, arguments, variables) }
            }
            if code != ENOEXEC || !isText { return code }
            return withCStringArray(shellArguments) {
                posix_spawn(&child, Self.shell, nil, &attributes, $0, variables)
            }
        }
        if code != 0 { throw failure(code) }
        return child
    }

    private static let shell = "/bin/sh"

    private var shellArguments: [ByteString] {
        [ByteString(Self.shell), path] + arguments.dropFirst()
    }

    private var isText: Bool { (try? ELFFile.content(of: path)) == .text }

    private func failure(_ code: Int32) -> CommandFailure {
        CommandFailure(
            message: "\(path.text): cannot be executed: \(Diagnostics.errorText(code)); "
                + "try it without iotrap",
            status: code == ENOENT ? ExitStatus.notFound : ExitStatus.cannotExecute)
    }
}
