"""A way to the store that can be slow or gone."""

import asyncio
import threading
from typing import Optional, Set


class Proxy:
    """Passes connections on to a port, each piece of a request after a delay. It refuses them while it is down."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target, self.delay = port, target, 0.0
        self.open: Set[asyncio.StreamWriter] = set()
        self.listening: Optional[asyncio.Server] = None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.up()

    def up(self) -> None:
        """Takes connections."""
        self.wait(self.listen())

    def down(self) -> None:
        """Closes every connection and takes none."""
        self.wait(self.close())

    def wait(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def listen(self) -> None:
        self.listening = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        self.listening.close()
        for writer in list(self.open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.open |= {writer, far_writer}
        try:
            await asyncio.gather(self.pass_on(reader, far_writer, True), self.pass_on(far_reader, writer, False))
        finally:
            self.open -= {writer, far_writer}

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_request: bool) -> None:
        try:
            while piece := await reader.read(1 << 16):
                if is_request and self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
