<?php

// Promises: where the portal sends events (protocol.md section 1).
// Leans on: nothing.
// Must never: change its one method.

declare(strict_types=1);


namespace Bitrix\Rest\Event;

interface ProviderInterface
{
    public function send(array $queryData);
}
