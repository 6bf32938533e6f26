import Glibc
import IOTrap

/// Unpacks a tar archive with many files in flight.
@main
struct Main {
    private static let usage = """
        usage: restore [-j PIECES_IN_FLIGHT] ARCHIVE DIRECTORY
        Unpacks a tar archive (ustar, pax, GNU long names; not compressed). Files that are there
        are replaced. Restores modes (without setuid and the like) and times, not owners.
        """

    static func main() async {
        var arguments = Array(CommandLine.arguments.dropFirst())
        var inFlight = 128
        if arguments.first == "-j", arguments.count > 1 {
            guard let number = Int(arguments[1]), (1...1024).contains(number) else {
                complain("restore: -j takes 1 to 1024, not '\(arguments[1])'")
                exit(2)
            }
            inFlight = number
            arguments.removeFirst(2)
        }
        guard arguments.count == 2, !arguments[0].hasPrefix("-") else {
            complain(usage)
            exit(2)
        }
        let problems = Problems()
        do {
            try await run(arguments[0], arguments[1], inFlight, problems)
        } catch let error as ArchiveError {
            complain("restore: \(arguments[0]) \(error)")
            exit(1)
        } catch {
            complain("restore: \(error)")
            exit(1)
        }
        exit(problems.count == 0 ? 0 : 1)
    }

    private static func run(
        _ archive: String, _ directory: String, _ inFlight: Int, _ problems: Problems
    ) async throws {
        // The modes of the archive count, not the caller's mask.
        umask(0)
        if mkdir(directory, 0o755) != 0, errno != EEXIST {
            throw TargetTree.failure("make directory", directory)
        }
        let executor = try IOExecutor(.init(name: "restore"))
        try await withTaskExecutorPreference(executor) {
            let file = try await IOFile.open(archive)
            var restore = Restore(
                into: directory, inFlight: inFlight, on: executor, report: problems)
            try await restore.run(file)
        }
    }
}
