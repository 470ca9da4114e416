// Promises: an app built on @bitrix24/b24jssdk as it is: it follows `server_endpoint`; job on stdin, report on stdout.
// Leans on: @bitrix24/b24jssdk (package.json); a CA given from outside.
// Must never: touch the library's insides.

import { readFileSync } from 'node:fs'
import { B24OAuth } from '@bitrix24/b24jssdk'

const job = JSON.parse(readFileSync(0, 'utf8'))

/** A client over a pair whose access token has expired; with `knowing` false the app believes it is good. */
function client(pair, knowing, clientSecret = job.client_secret) {
  const now = Math.floor(Date.now() / 1000)
  const b24 = new B24OAuth(
    {
      applicationToken: job.application_token,
      userId: 1,
      memberId: pair.member_id,
      accessToken: pair.access_token,
      refreshToken: pair.refresh_token,
      expires: knowing ? pair.expires : now + 3600,
      expiresIn: 3600,
      scope: pair.scope,
      domain: job.domain,
      clientEndpoint: pair.client_endpoint,
      serverEndpoint: pair.server_endpoint,
      status: pair.status
    },
    { clientId: job.client_id, clientSecret }
  )
  b24.offClientSideWarning()
  const renewed = []
  b24.setCallbackRefreshAuth(async ({ authData, b24OAuthParams }) => {
    renewed.push({ ...authData, server_endpoint: b24OAuthParams.serverEndpoint, status: b24OAuthParams.status })
  })
  return { b24, renewed }
}

async function call(b24, method, params = {}) {
  const answer = await b24.actions.v2.call.make({ method, params })
  if (!answer.isSuccess) {
    throw new Error(`${method}: ${answer.getErrorMessages().join('; ')}`)
  }
  return answer.getData().result
}

/** Five calls at once with an expired token: one refresh must do for all. */
async function surviveExpiry() {
  const { b24, renewed } = client(job.stale[0], false)
  const profiles = await Promise.all(Array.from({ length: 5 }, () => call(b24, 'profile')))
  const info = await call(b24, 'app.info')
  const list = await b24.actions.v2.callList.make({ method: 'crm.deal.list', params: { select: ['ID'] } })
  const batch = await b24.actions.v2.batch.make({
    calls: { me: { method: 'profile' }, one: { method: 'crm.deal.get', params: { id: 1 } } }
  })
  await b24.initIsAdmin()
  return {
    profiles: profiles.map(profile => profile.ID),
    code: info.CODE,
    deals: list.getData().map(deal => Number(deal.ID)),
    batch: batch.getData().me !== undefined,
    isAdmin: b24.auth.isAdmin,
    renewals: renewed.length,
    renewed: renewed[0]
  }
}

/** The app knows that the token has expired: the library refreshes before it calls. */
async function refreshFirst() {
  const { b24, renewed } = client(job.stale[1], true)
  return { profile: (await call(b24, 'profile')).ID, renewals: renewed.length }
}

/** Two processes of one app with one refresh token: both must go on, as the grace window promises. */
async function shareOnePair() {
  const both = [client(job.stale[2], true), client(job.stale[2], true)]
  const ids = await Promise.all(both.map(async ({ b24 }) => (await call(b24, 'profile')).ID))
  return { ids, tokens: new Set(both.map(({ renewed }) => renewed[0].access_token)).size }
}

/** What the library makes of a refusal. */
async function refusal(pair, secret) {
  const { b24 } = client(pair, true, secret)
  try {
    await b24.auth.refreshAuth()
    return 'none'
  } catch (error) {
    return `${error.code} ${error.status}`
  }
}

console.log(JSON.stringify({
  expiry: await surviveExpiry(),
  first: await refreshFirst(),
  shared: await shareOnePair(),
  errors: {
    'a wrong secret': await refusal(job.stale[2], 'wrong'),
    'a forged refresh token': await refusal({ ...job.stale[2], refresh_token: '0'.repeat(70) })
  }
}))
