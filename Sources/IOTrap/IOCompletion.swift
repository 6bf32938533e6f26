/// An operation of an ``IOQueue`` that ended.
public struct IOCompletion: ~Copyable {
    /// What was given with the operation.
    public let tag: UInt64
    /// What it was.
    public let operation: IOOperation
    private let result: Int64
    private let expected: Int
    private let handle: FileHandle
    private var held: IOBuffer?
    private var heldList: IOBufferList?

    init(
        tag: UInt64, operation: IOOperation, result: Int64, expected: Int, handle: FileHandle,
        buffer: consuming IOBuffer?, list: consuming IOBufferList?
    ) {
        self.tag = tag
        self.operation = operation
        self.result = result
        self.expected = expected
        self.handle = handle
        held = buffer
        heldList = list
        guard operation == .read, result >= 0 else { return }
        held?.count = Int(result)
        heldList?.noteRead(Int(result))
    }

    /// Bytes moved; 0 for a sync.
    /// - Throws: why the operation failed; `.incomplete` for a write that moved only a part.
    public func count() throws(IOError) -> Int {
        guard result >= 0 else { throw handle.failure(operation, result: result) }
        guard result >= expected else {
            throw handle.failure(
                operation, .incomplete(expected: expected, written: Int(result)))
        }
        return Int(result)
    }

    /// The buffer of the operation, whether that failed or not; nil for a sync and for vectors, and
    /// when it was taken before.
    public mutating func takeBuffer() -> IOBuffer? { held.take() }

    /// The same of a vectored operation.
    public mutating func takeList() -> IOBufferList? { heldList.take() }
}
