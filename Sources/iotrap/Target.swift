import CIOTrapEngine
import Glibc

/// The program to start: found, and checked for what would keep the library out of it.
struct Target {
    /// The file to execute.
    let path: ByteString
    /// Lines to print before it starts.
    private(set) var warnings: [String] = []
    /// Interpreters of scripts that the kernel follows before it gives up (BINPRM_MAX_RECURSION).
    private static let interpretersMax = 5

    /// Finds a program as execvp(3) does.
    init(finding name: ByteString, path searchPath: ByteString?) throws(CommandFailure) {
        if name.isEmpty {
            throw CommandFailure(
                message: "the program's name is empty; write iotrap run [OPTION]... -- PROGRAM",
                status: ExitStatus.notFound)
        }
        if name.contains("/") {
            try Self.checkExecutable(name)
            path = name
            return
        }
        // As confstr(_CS_PATH) in the GNU C library.
        let directories = searchPath ?? ByteString("/bin:/usr/bin")
        var denied: CommandFailure?
        for directory in directories.bytes.split(separator: 0x3a, omittingEmptySubsequences: false)
        {
            let candidate =
                directory.isEmpty ? name : ByteString(directory) + "/" + name
            do throws(CommandFailure) {
                try Self.checkExecutable(candidate)
                path = candidate
                return
            } catch {
                if error.status == ExitStatus.cannotExecute && denied == nil { denied = error }
            }
        }
        throw denied
            ?? CommandFailure(
                message: "\(name.text): not found in PATH; check the name or give the whole path",
                status: ExitStatus.notFound)
    }

    /// Follows interpreters to the file that the kernel will really run, and checks it.
    mutating func check(against library: Library) throws(CommandFailure) {
        var file = path
        for _ in 0...Self.interpretersMax {
            switch try Self.content(of: file) {
            case .elf(let program):
                try check(program, file, library)
                return
            case .script(let interpreter):
                try Self.checkInterpreter(interpreter, of: file)
                file = interpreter
            case .damaged:
                throw CommandFailure(
                    message: "\(file.text): is a damaged ELF file; install it again",
                    status: ExitStatus.cannotExecute)
            case nil, .text?, .unknown?:
                // Unreadable, for the shell, or for a handler of the kernel's: try it.
                return
            }
        }
        throw CommandFailure(
            message: "\(path.text): more than \(Self.interpretersMax) interpreters in a row; "
                + "give the last one directly",
            status: ExitStatus.cannotExecute)
    }

    private mutating func check(
        _ program: ELFFile, _ file: ByteString, _ library: Library
    ) throws(CommandFailure) {
        if program.architecture != library.architecture {
            throw CommandFailure(
                message: "\(file.text): is built for \(program.architecture.text), the library "
                    + "\(library.path.text) for \(library.architecture.text); use iotrap of the "
                    + "program's architecture, or start it without",
                status: ExitStatus.cannotExecute)
        }
        try Self.checkPrivileges(file)
        guard let interpreter = program.interpreter else {
            warnings.append(
                "warning: \(file.text) is statically linked: its calls cannot be intercepted, "
                    + "it runs as without iotrap; use a dynamically linked build")
            return
        }
        if !Library.exists(interpreter) {
            throw CommandFailure(
                message: "\(file.text): its loader \(interpreter.text) is missing; "
                    + "install the C library it was built for",
                status: ExitStatus.notFound)
        }
    }

    /// Refuses programs for which the loader ignores LD_PRELOAD.
    private static func checkPrivileges(_ file: ByteString) throws(CommandFailure) {
        var status = stat()
        guard file.withCString({ stat($0, &status) }) == 0 else { return }
        let kinds = [(S_ISUID, "setuid"), (S_ISGID, "setgid")]
        if let (_, kind) = kinds.first(where: { status.st_mode & $0.0 != 0 }) {
            throw .usage(
                "\(file.text): is \(kind), and the loader ignores preloads for it; "
                    + "start iotrap inside it (su USER -c 'iotrap run -- ...'), or use a copy "
                    + "without that bit")
        }
        // Capabilities of a file change nothing for root, who has them all.
        if geteuid() != 0 && file.withCString({ iotrap_file_has_capabilities($0) }) != 0 {
            throw .usage(
                "\(file.text): has file capabilities, and the loader ignores preloads for it; "
                    + "start it as root, or use a copy without them")
        }
    }

    private static func checkInterpreter(
        _ interpreter: ByteString, of script: ByteString
    ) throws(CommandFailure) {
        do throws(CommandFailure) {
            try checkExecutable(interpreter)
        } catch {
            throw CommandFailure(
                message: "\(script.text): its interpreter, named after #!, cannot be used: "
                    + error.message,
                status: error.status)
        }
    }

    /// Throws unless the path is a file that may be executed.
    private static func checkExecutable(_ path: ByteString) throws(CommandFailure) {
        var status = stat()
        if path.withCString({ stat($0, &status) }) != 0 {
            let code = errno
            let isMissing = code == ENOENT || code == ENOTDIR
            throw CommandFailure(
                message: "\(path.text): \(Diagnostics.errorText(code)); "
                    + (isMissing ? "check the name" : "check the permissions of its directories"),
                status: isMissing ? ExitStatus.notFound : ExitStatus.cannotExecute)
        }
        if status.st_mode & S_IFMT != S_IFREG {
            throw CommandFailure(
                message: "\(path.text): is not a regular file; give the path of a program",
                status: ExitStatus.cannotExecute)
        }
        if path.withCString({ access($0, X_OK) }) != 0 {
            throw CommandFailure(
                message: "\(path.text): is not executable; chmod +x it, or name its interpreter",
                status: ExitStatus.cannotExecute)
        }
    }

    /// What the file is; nil when it may be executed but not read.
    private static func content(of path: ByteString) throws(CommandFailure) -> ELFFile.Content? {
        do throws(SystemError) {
            return try ELFFile.content(of: path)
        } catch {
            if error.code == EACCES || error.code == EPERM { return nil }
            throw CommandFailure(
                message: "\(path.text): cannot be read: \(Diagnostics.errorText(error.code)); "
                    + "check the file system",
                status: ExitStatus.cannotExecute)
        }
    }
}
