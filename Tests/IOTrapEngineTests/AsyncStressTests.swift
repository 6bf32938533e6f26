import CIOTrap
import CIOTrapEngine
import Foundation
import Testing

@testable import IOTrapEngine

/// The engine under threads that do everything at once and at random. Each run is a process of its
/// own, with an engine of its own; what it found wrong is in its log, and so is its seed.
@Suite(.serialized) struct AsyncStressTests {
    /// An empty directory, on storage if possible; nil, said so, when there is no io_uring.
    private func scratch(_ test: String) -> String? {
        var error: Int32 = 0
        guard let ring = iotrap_ring_create(0, &error) else {
            print("SKIP \(test): io_uring is not available here, error \(-error)")
            return nil
        }
        iotrap_ring_destroy(ring)
        var template = Array("/var/tmp/iotrap-stress-XXXXXX".utf8CString)
        return String(cString: mkdtemp(&template)!)
    }

    /// Shows the log of a run, all of it when the run failed, and takes its directory away.
    private func end(_ directory: String, hasPassed: Bool) {
        let log = (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? "no log"
        print(hasPassed ? String(log.prefix { $0 != "\n" }) : log)
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func contextsOfTheKernelAndRings() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(in: directory, mode: "force", settings: "")
            LibaioStress(run).perform(retires: false)
            run.expectUse(IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_RING)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }

    @Test func contextsWhoseHabitsAreWatched() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(in: directory, mode: "auto", settings: "")
            LibaioStress(run).perform(retires: false)
            // A ring only where io_submit waits for storage, which is this disk's to say.
            run.expectUse(IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_KERNEL)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }

    @Test func kernelWorkersAndVisibleRings() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(
                in: directory, mode: "force", settings: "offload=on,ring-descriptor=visible")
            LibaioStress(run).perform(retires: false)
            run.expectUse(IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_RING)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }

    @Test func contextsOfTheLibrarysOwn() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(in: directory, mode: "force", settings: "aio-context=own")
            LibaioStress(run).perform(retires: true)
            run.expectUse(IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_SERVICE)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }

    @Test func ownContextsWithAnEventfdForABell() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(
                in: directory, mode: "force", settings: "aio-context=own,ring-descriptor=visible")
            LibaioStress(run).perform(retires: true)
            run.expectUse(IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_SERVICE)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }

    @Test func posixRequests() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(in: directory, mode: "force", settings: "")
            PosixStress(run).perform(retires: false)
            // Then with a new service thread.
            run.awaitIdle()
            PosixStress(run).perform(retires: true)
            run.expectUse(IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_SERVICE)
            run.expectUse(IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_INLINE)
            run.expectUse(IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_RING)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }

    @Test func posixRequestsWithAnEventfdForABell() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(in: directory, mode: "auto", settings: "ring-descriptor=visible")
            PosixStress(run).perform(retires: true)
            run.expectUse(IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_SERVICE)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }

    @Test func bothInterfacesOnOneServiceThread() async {
        guard let directory = scratch(#function) else { return }
        let result = await #expect(processExitsWith: .success) {
            [directory = directory as String] in
            let run = StressRun(in: directory, mode: "force", settings: "aio-context=own")
            onThreads(2) { index in
                if index == 0 {
                    LibaioStress(run).perform(retires: true)
                } else {
                    PosixStress(run).perform(retires: false)
                }
            }
            run.expectUse(IOTRAP_ASYNC_LIBAIO, IOTRAP_ASYNC_ROUTE_SERVICE)
            run.expectUse(IOTRAP_ASYNC_POSIX, IOTRAP_ASYNC_ROUTE_SERVICE)
            run.end()
        }
        end(directory, hasPassed: result != nil)
    }
}
