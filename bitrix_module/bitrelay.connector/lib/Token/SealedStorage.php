<?php

// Promises: the stock validator finds every relay token already checked, so that no request leaves the portal.
// Leans on: the stock storage underneath, the bundle, and the relay for what the bundle cannot decide.
// Must never: cache a failure to reach the relay, or let the stock one-hour cache vouch for a relay token.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Settings;
use Bitrix\Main\Application;
use Bitrix\Rest\AuthStorageInterface;

final class SealedStorage implements AuthStorageInterface
{
    private bool $renewalQueued = false;
    private readonly \Closure $clock;

    public function __construct(
        private readonly AuthStorageInterface $inner,
        private readonly Settings $settings,
        private readonly BundleStore $bundles,
        /** @var \Closure(): BundleKeeper */
        private readonly \Closure $keeper,
        private readonly OnlineCheck $online,
        private readonly UserAccess $users,
        private readonly TokenNotes $notes,
        ?\Closure $clock = null,
    ) {
        $this->clock = $clock ?? time(...);
    }

    public function store(array $authResult)
    {
        // Tokens of the relay need no store: they prove themselves, or are asked for and noted briefly.
        if (!$this->isRelays((string)($authResult['access_token'] ?? ''))) {
            $this->inner->store($authResult);
        }
    }

    public function rewrite(array $authResult)
    {
        $token = (string)($authResult['access_token'] ?? '');
        if ($this->isRelays($token)) {
            $this->notes->markRewritten($token);
        }
        $this->inner->rewrite($authResult);
    }

    public function restore($accessToken)
    {
        $token = is_string($accessToken) ? $accessToken : '';
        $claims = SealedToken::peek($token);
        if ($claims === null) {
            return $this->inner->restore($accessToken);
        }
        try {
            return $this->decide($token, $claims, ($this->clock)());
        } catch (\Throwable) {
            return self::unreachable($token);
        }
    }

    /** @return array<string, mixed>|false */
    private function decide(string $token, Claims $claims, int $now): array|false
    {
        [$verdict, $bundle] = $this->judge($token, $claims, $now);
        if ($bundle !== null && ($verdict === Verdict::Good || $verdict === Verdict::Expired)) {
            $info = Validator::tokenInfo($token, $claims, $bundle);
            return $verdict === Verdict::Good ? $this->admit($token, $info, $now) : $info;
        }
        if ($verdict === Verdict::Revoked || ($verdict === Verdict::Forged && $this->settings->mode === Mode::All)) {
            return self::refusal($token, 'invalid_token', 'The access token provided is invalid');
        }
        $foreign = $bundle !== null && ($verdict === Verdict::NoKey || $verdict === Verdict::Forged);
        if ($foreign && $this->settings->mode === Mode::Apps) {
            return $this->inner->restore($token); // A token of the cloud: the stock code knows what to do.
        }
        return $this->ask($token, $verdict, $now);
    }

    /** @return array{0: Verdict, 1: ?Bundle} */
    private function judge(string $token, Claims $claims, int $now): array
    {
        if (!$this->settings->localValidation) {
            return [Verdict::NoKey, null];
        }
        $bundle = $this->freshBundle($now);
        if ($bundle !== null && !$bundle->hasKey($claims->keyId)) {
            ($this->keeper)()->renewForUnknownKey(\CRestUtil::getMemberId() ?? '', $now);
            $bundle = $this->usable($this->bundles->current($now), $now);
        }
        return [$bundle === null ? Verdict::NoKey : $this->verdict($token, $claims, $bundle, $now), $bundle];
    }

    private function verdict(string $token, Claims $claims, Bundle $bundle, int $now): Verdict
    {
        $secret = (string)\Bitrix\Rest\OAuthService::getEngine()->getClientSecret();
        return Validator::judge($token, $claims, $bundle, $secret, \CRestUtil::getMemberId() ?? '', $now);
    }

    private function freshBundle(int $now): ?Bundle
    {
        $bundle = $this->bundles->current($now);
        if ($this->bundles->justSynced()) {
            $age = $now - $this->bundles->checkedAt();
            if ($bundle === null || $age >= BundleKeeper::NOW_S || $age < 0) {
                ($this->keeper)()->renew(\CRestUtil::getMemberId() ?? '', $now);
                $bundle = $this->bundles->current($now);
            } elseif ($age >= BundleKeeper::SOON_S) {
                $this->renewLater();
            }
        }
        return $this->usable($bundle, $now);
    }

    private function usable(?Bundle $bundle, int $now): ?Bundle
    {
        $usable = $bundle !== null && $bundle->goodAt($now)
            && $bundle->belongsTo($this->settings->relayUrl, \CRestUtil::getMemberId() ?? '');
        return $usable ? $bundle : null;
    }

    private function renewLater(): void
    {
        if ($this->renewalQueued) {
            return;
        }
        $this->renewalQueued = true;
        $application = Application::getInstance();
        $application->addBackgroundJob(function (): void {
            $this->renewalQueued = false;
            try {
                ($this->keeper)()->renew(\CRestUtil::getMemberId() ?? '', ($this->clock)());
            } catch (\Throwable) {
                // The next look at the bundle tries again.
            }
        }, [], $application::JOB_PRIORITY_LOW);
    }

    /** @return array<string, mixed>|false */
    private function ask(string $token, Verdict $verdict, int $now): array|false
    {
        $stored = $this->inner->restore($token);
        $info = $this->notes->recall($stored, $this->settings->tokenCacheS, $now);
        if ($info === null) {
            $info = $this->online->ask($token, $now);
            if ($info === null) {
                return self::unreachable($token);
            }
            // With no bundle to tell them apart, a token that the relay does not know may be the cloud's.
            if (isset($info['error']) && $this->settings->mode === Mode::Apps && $verdict !== Verdict::Incomplete) {
                return is_array($stored) && !TokenNotes::isNote($stored) ? $stored : false;
            }
            $this->inner->rewrite($this->notes->note($info, $stored, $now));
        }
        return isset($info['error']) ? $info : $this->admit($token, $info, $now);
    }

    /**
     * @param array<string, mixed> $info
     * @return array<string, mixed>
     */
    private function admit(string $token, array $info, int $now): array
    {
        if (!$this->users->mayAuthorize((int)$info['user_id'], $now)) {
            return self::refusal($token, 'ACCESS_DENIED', "Current user can't be authorized in this context");
        }
        return $this->notes->isRewritten($token)
            ? TokenNotes::overlay($info, $this->inner->restore($token))
            : $info;
    }

    private function isRelays(string $token): bool
    {
        $claims = SealedToken::peek($token);
        if ($claims === null || $this->settings->mode === Mode::All) {
            return $claims !== null;
        }
        $now = ($this->clock)();
        $bundle = $this->usable($this->bundles->current($now), $now);
        $verdict = $bundle === null ? Verdict::NoKey : $this->verdict($token, $claims, $bundle, $now);
        return $verdict !== Verdict::NoKey && $verdict !== Verdict::Forged;
    }

    /** @return array<string, mixed> */
    private static function refusal(string $token, string $code, string $text): array
    {
        return ['access_token' => $token, 'error' => $code, 'error_description' => $text];
    }

    /** Without a client_id the stock code answers CONNECTION_ERROR and keeps nothing. @return array<string, mixed> */
    private static function unreachable(string $token): array
    {
        return ['access_token' => $token];
    }
}
