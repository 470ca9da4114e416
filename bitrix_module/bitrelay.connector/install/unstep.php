<?php

// Promises: asks whether unsent events are to be kept before the module goes.
// Leans on: being included by the kernel's module page, with the module object at hand.
// Must never: decide by itself; both answers are buttons.

declare(strict_types=1);

use Bitrix\Main\Localization\Loc;

Loc::loadMessages(__DIR__ . '/index.php');

$module = CModule::CreateModuleObject('bitrelay.connector');
$unsent = $module instanceof bitrelay_connector ? $module->unsentEvents() : 0;
$action = htmlspecialcharsbx((string)$GLOBALS['APPLICATION']->GetCurPage());
?>
<form action="<?= $action ?>" method="post">
    <?= bitrix_sessid_post() ?>
    <input type="hidden" name="lang" value="<?= htmlspecialcharsbx(LANGUAGE_ID) ?>">
    <input type="hidden" name="id" value="bitrelay.connector">
    <input type="hidden" name="uninstall" value="Y">
    <input type="hidden" name="step" value="2">
    <?php CAdminMessage::ShowMessage([
        'TYPE' => 'ERROR',
        'MESSAGE' => (string)Loc::getMessage('BITRELAY_UNINSTALL_ASK', ['#ROWS#' => (string)$unsent]),
        'DETAILS' => (string)Loc::getMessage('BITRELAY_UNINSTALL_DETAILS'),
        'HTML' => false,
    ]); ?>
    <p><label><input type="radio" name="keep_events" value="Y" checked>
        <?= htmlspecialcharsbx((string)Loc::getMessage('BITRELAY_UNINSTALL_KEEP')) ?></label></p>
    <p><label><input type="radio" name="keep_events" value="N">
        <?= htmlspecialcharsbx((string)Loc::getMessage('BITRELAY_UNINSTALL_DROP')) ?></label></p>
    <input type="submit" value="<?= htmlspecialcharsbx((string)Loc::getMessage('BITRELAY_UNINSTALL_GO')) ?>">
</form>
