// A network that can be cut: every connection between a browser and the control plane goes through it.

import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class Network {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #state: { up: boolean };

  private constructor(server: Server, sockets: Set<Socket>, state: { up: boolean }) {
    this.#server = server;
    this.#sockets = sockets;
    this.#state = state;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async to(url: string): Promise<Network> {
    const { hostname, port } = new URL(url);
    const sockets = new Set<Socket>();
    const state = { up: true };
    const keep = (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      // Its other half is closed with it; what went wrong with it is no matter here.
      socket.on('error', () => socket.destroy());
    };
    const server = createServer((near) => {
      keep(near);
      if (!state.up) {
        near.destroy();
        return;
      }
      const far = connect(Number(port), hostname);
      keep(far);
      near.pipe(far).pipe(near);
      near.on('close', () => far.destroy());
      far.on('close', () => near.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Network(server, sockets, state);
  }

  /** Closes every connection and refuses new ones. */
  cut(): void {
    this.#state.up = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  restore(): void {
    this.#state.up = true;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
