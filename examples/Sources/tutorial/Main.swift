import IOTrap

/// Runs the steps of the tutorial on a file, which is made.
@main
struct Main {
    static func main() async throws {
        guard CommandLine.arguments.count == 2 else {
            print("usage: tutorial FILE")
            return
        }
        let path = CommandLine.arguments[1]
        try await openWriteRead(path)
        try await severalTasks(path)
        try await ownThread(path)
        await deadlines(path)
        try await streams(path)
        try await log(path)
        try await reference(path)
    }
}
