// The server that the tests talk to, and the token for it.
import { fetchHydra, hydraDataProvider } from "@api-platform/admin";

const { POORT_URL, POORT_TOKEN } = process.env;

export const entrypoint = `${POORT_URL}/api`;

export const headers = { Authorization: `Bearer ${POORT_TOKEN}` };

export const makeDataProvider = () =>
  hydraDataProvider({ entrypoint, httpClient: (url, options = {}) => fetchHydra(url, { ...options, headers }) });

export async function ask(path, options = {}) {
  const response = await fetch(`${POORT_URL}${path}`, { ...options, headers: { ...headers, ...options.headers } });
  return response.status === 204 ? null : response.json();
}
