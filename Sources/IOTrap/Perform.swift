import CIOTrap

/// Awaiting operations.
enum Perform {
    /// Runs one request, in the calling thread's loop or the shared one: its result.
    ///
    /// When the task is cancelled the request is, and this still waits for its end.
    /// - Parameter path: the file that the request is about, if it names one
    static nonisolated(nonsending) func one(_ io: iotrap_io, path: String? = nil) async -> Int64 {
        let loop = IOExecutor.here
        let operation = loop.makeOperation(io)
        if let path { operation.pointer.pointee.copy(path: path) }
        await wait(loop, operation)
        let result = operation.pointer.pointee.result
        loop.recycle(operation)
        return result
    }

    /// Runs a request and one that starts when it has ended well, and in full: both results.
    static nonisolated(nonsending) func pair(
        _ first: iotrap_io, _ second: iotrap_io
    ) async -> (first: Int64, second: Int64) {
        let loop = IOExecutor.here
        let leader = loop.makeOperation(first)
        let linked = loop.makeOperation(second)
        leader.pointer.pointee.linked = linked.pointer
        await wait(loop, leader)
        let results = (leader.pointer.pointee.result, linked.pointer.pointee.result)
        loop.recycle(leader)
        loop.recycle(linked)
        return results
    }

    private static nonisolated(nonsending) func wait(
        _ loop: RingLoop, _ operation: OperationReference
    ) async {
        let serial = operation.pointer.pointee.serial
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                operation.pointer.pointee.continuation = continuation
                loop.start(operation)
            }
        } onCancel: {
            loop.requestCancel(operation, serial: serial)
        }
    }
}
